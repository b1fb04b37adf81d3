package panel

import (
	"context"
	"encoding/base64"
	"fmt"
	"html"
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// Bounds of a preview, in octets.
const (
	maxPreview = 5 << 20  // HTML
	maxImage   = 5 << 20  // one inline image
	maxImages  = 20 << 20 // all inline images of one preview
)

// previewPolicy is what the HTML of a mail is served under. The sandbox gives
// it an origin of its own, without scripts, forms or cookies; popups let a
// clicked link open outside. Images of the mail are inlined as data: URLs,
// because a sandboxed document has no session with which to fetch them.
func previewPolicy(remote bool) string {
	img := "img-src data:"
	if remote {
		img += " https: http:"
	}
	return "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; " + img +
		"; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
}

// attachmentPolicy is what everything else out of a mail is served under.
const attachmentPolicy = "sandbox; default-src 'none'; frame-ancestors 'none'"

func schemeName(s string) string {
	if s == "dark" || s == "inverted" {
		return s
	}
	return "light"
}

// preview serves the HTML of a mail, or its text if it has none.
func (p *panel) preview(w http.ResponseWriter, r *http.Request) {
	rcpt := r.URL.Query().Get("rcpt")
	m, err := p.Source.Message(r.Context(), r.PathValue("id"), rcpt)
	if err != nil {
		p.broken(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", previewPolicy(r.URL.Query().Get("remote") == "1"))
	h.Set("X-Frame-Options", "SAMEORIGIN")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Type", "text/html; charset=utf-8")
	rw := &rewriter{scheme: schemeName(r.URL.Query().Get("scheme")), inline: p.inliner(r.Context(), m, rcpt)}
	_, _ = w.Write([]byte(rw.rewrite(previewSource(m)))) // a lost reader needs no answer
}

// previewSource is the HTML to preview: the mail's own, or its text as HTML.
func previewSource(m MessageDetail) string {
	switch {
	case len(m.HTML) > maxPreview:
		return "<p>The HTML of this message is too large to preview. Download the message to see it.</p>"
	case m.HTML != "":
		return strings.ToValidUTF8(m.HTML, "\uFFFD")
	case len(m.Text) > maxPreview:
		return "<p>The text of this message is too large to preview. Download the message to see it.</p>"
	default:
		return "<pre style=\"white-space:pre-wrap;font:inherit;margin:8px\">" + html.EscapeString(strings.ToValidUTF8(m.Text, "\uFFFD")) + "</pre>"
	}
}

// inliner resolves Content-IDs to data: URLs within the bounds.
func (p *panel) inliner(ctx context.Context, m MessageDetail, rcpt string) func(string) string {
	done := map[string]string{}
	left := maxImages
	return func(cid string) string {
		u, ok := done[cid]
		if !ok {
			u = p.dataURL(ctx, m, rcpt, cid)
			done[cid] = u
		}
		if len(u) > left {
			return ""
		}
		left -= len(u)
		return u
	}
}

func (p *panel) dataURL(ctx context.Context, m MessageDetail, rcpt, cid string) string {
	for _, part := range m.Parts {
		if part.ContentID == "" || part.ContentID != cid || part.Size > maxImage || imageType(part.ContentType) == "" {
			continue
		}
		_, b, err := p.Source.Part(ctx, m.ID, rcpt, part.Index)
		if err != nil || len(b) > maxImage {
			p.Logger.WarnContext(ctx, "inline image not shown", "message", m.ID, "part", part.Index, "error", err)
			return ""
		}
		return "data:" + imageType(part.ContentType) + ";base64," + base64.StdEncoding.EncodeToString(b)
	}
	return ""
}

// imageType returns the media type if it is an image type that browsers show
// without running anything in it.
func imageType(contentType string) string {
	t, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return ""
	}
	switch t {
	case "image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp", "image/svg+xml":
		return t
	}
	return ""
}

// raw serves the message as a file.
func (p *panel) raw(w http.ResponseWriter, r *http.Request) {
	b, err := p.Source.Raw(r.Context(), r.PathValue("id"), r.URL.Query().Get("rcpt"))
	if err != nil {
		p.broken(w, r, err)
		return
	}
	download(w, "message/rfc822", "message-"+plainName(r.PathValue("id"))+".eml", b)
}

// part serves one part of a mail as a file, never as a page.
func (p *panel) part(w http.ResponseWriter, r *http.Request) {
	index, err := strconv.Atoi(r.PathValue("index"))
	if err != nil || index < 0 {
		p.missing(w, r)
		return
	}
	part, b, err := p.Source.Part(r.Context(), r.PathValue("id"), r.URL.Query().Get("rcpt"), index)
	if err != nil {
		p.broken(w, r, err)
		return
	}
	name := part.Name
	if name == "" {
		name = fmt.Sprintf("part-%d", index)
	}
	download(w, part.ContentType, name, b)
}

func download(w http.ResponseWriter, contentType, name string, b []byte) {
	if _, _, err := mime.ParseMediaType(contentType); err != nil {
		contentType = "application/octet-stream"
	}
	h := w.Header()
	h.Set("Content-Security-Policy", attachmentPolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Type", contentType)
	h.Set("Content-Disposition", disposition(name))
	h.Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b) // a lost reader needs no answer
}

// disposition writes a header for a file name a stranger chose: no path, no
// control characters, bounded length, encoded as RFC 6266 says.
func disposition(name string) string {
	name = strings.Map(func(c rune) rune {
		switch {
		case c < 0x20 || c == 0x7f || strings.ContainsRune(`/\:*?"<>|`, c):
			return '_'
		}
		return c
	}, printable(name))
	name = strings.TrimLeft(strings.TrimSpace(name), ".")
	if r := []rune(name); len(r) > 150 {
		name = string(r[len(r)-150:])
	}
	if name == "" {
		name = "attachment"
	}
	if v := mime.FormatMediaType("attachment", map[string]string{"filename": name}); v != "" {
		return v
	}
	return "attachment"
}

// plainName reduces an id to characters that are safe in any file name.
func plainName(id string) string {
	id = strings.Map(func(c rune) rune {
		if c < 0x80 && (c == '-' || c == '.' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z') {
			return c
		}
		return '-'
	}, id)
	return strings.Trim(id[:min(len(id), 80)], "-.")
}
