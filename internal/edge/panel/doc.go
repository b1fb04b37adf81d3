// Package panel is the control panel: server-rendered pages that show what
// happened to every message, with the receiving server's own words.
//
// Invariants:
//   - Pages are plain documents. Every filter, tab and page of a list has its
//     own URL, and every change is a POST form carrying a CSRF token, so the
//     panel works without JavaScript. The one script adds live updates,
//     copying and the keyboard.
//   - Nothing a stranger wrote (subject, header, bounce text, file name,
//     transcript) reaches a page except through the escaping of html/template.
//     The HTML of a mail is served only by the preview, in a sandbox with a
//     policy of its own that forbids scripts, forms and remote loads.
//   - No page contains inline script, inline style or event attributes; the
//     Content-Security-Policy forbids them.
//   - A status word is shown together with the evidence for it.
//
// The package knows nothing about storage: it reads through [Source].
package panel
