package panel

import (
	"fmt"
	"html/template"
)

// icon returns a drawing for a status or an action. Icons are decoration next
// to a word, so screen readers skip them. Unknown names draw a plain dot.
func icon(name any) template.HTML {
	body, ok := shapes()[fmt.Sprint(name)]
	if !ok {
		body = `<circle cx="8" cy="8" r="2.5" fill="currentColor" stroke="none"/>`
	}
	// The name chooses among constants; nothing of a stranger gets in here.
	return template.HTML(`<svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round">` + body + `</svg>`)
}

// shapes differ in outline, not only in colour.
func shapes() map[string]string {
	const disc = `<circle cx="8" cy="8" r="6.5"/>`
	return map[string]string{
		"delivered":  disc + `<path d="M5.2 8.2l2 2 3.6-4.2"/>`,
		"valid":      disc + `<path d="M5.2 8.2l2 2 3.6-4.2"/>`,
		"failed":     disc + `<path d="M5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4"/>`,
		"wrong":      disc + `<path d="M5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4"/>`,
		"missing":    `<circle cx="8" cy="8" r="6.5" stroke-dasharray="2.6 2.6"/><path d="M5.5 8h5"/>`,
		"unknown":    `<circle cx="8" cy="8" r="6.5" stroke-dasharray="2.6 2.6"/>`,
		"deferred":   disc + `<path d="M8 1.5a6.5 6.5 0 0 1 0 13z" fill="currentColor" stroke="none"/>`,
		"pending":    disc + `<path d="M8 4.5V8l2.3 1.6"/>`,
		"stored":     `<path d="M2.5 5.5h11v7.5h-11zM2 3h12v2.5H2zM6.5 8h3"/>`,
		"scheduled":  disc + `<path d="M8 4.5V8l2.3 1.6"/>`,
		"accepted":   disc + `<circle cx="8" cy="8" r="2" fill="currentColor" stroke="none"/>`,
		"captured":   `<path d="M2 9.5V12a1.5 1.5 0 0 0 1.5 1.5h9A1.5 1.5 0 0 0 14 12V9.5M8 2v7.5M5 6.8L8 9.8l3-3"/>`,
		"complained": `<path d="M3.5 14V2.5M3.5 3h8.5l-1.8 3L12 9H3.5"/>`,
		"rejected":   `<path d="M5.3 1.8h5.4l3.5 3.5v5.4l-3.5 3.5H5.3l-3.5-3.5V5.3zM5 8h6"/>`,
		"suppressed": disc + `<path d="M3.5 3.5l9 9"/>`,
		"expired":    `<path d="M4 2h8M4 14h8M5 2c0 4 6 4 6 6s-6 2-6 6M11 2c0 4-6 4-6 6s6 2 6 6"/>`,
		"opened":     `<path d="M1 8c3.5-6 10.5-6 14 0-3.5 6-10.5 6-14 0z"/><circle cx="8" cy="8" r="2"/>`,
		"clicked":    `<path d="M4 2l9 5.5-4 1-2 4z"/>`,
		"inbox":      `<path d="M2 9l2-6h8l2 6v4H2zM2 9h3.5l1 2h3l1-2H14"/>`,
		"webhooks":   `<path d="M9.5 1.5L4 9h4l-1.5 5.5L12 7H8z"/>`,
		"domains":    disc + `<path d="M1.5 8h13M8 1.5c4 4 4 9 0 13M8 1.5c-4 4-4 9 0 13"/>`,
		"system":     `<path d="M2 4.5h7M12.5 4.5H14M2 11.5h1.5M7 11.5h7"/><circle cx="10.75" cy="4.5" r="1.75"/><circle cx="5.25" cy="11.5" r="1.75"/>`,
		"search":     `<circle cx="7" cy="7" r="4.5"/><path d="M10.5 10.5L14 14"/>`,
		"copy":       `<rect x="5.5" y="5.5" width="8" height="8" rx="1.5"/><path d="M10.5 5.5V4A1.5 1.5 0 0 0 9 2.5H4A1.5 1.5 0 0 0 2.5 4v5A1.5 1.5 0 0 0 4 10.5h1.5"/>`,
		"trash":      `<path d="M2.5 4.5h11M6 4.5v-2h4v2M4 4.5l.700 9h6.6l.700-9M6.7 7v4M9.3 7v4"/>`,
		"download":   `<path d="M8 2v8M4.8 7L8 10.2 11.2 7M2.5 13.5h11"/>`,
		"resend":     `<path d="M13.5 8A5.5 5.5 0 1 1 11.7 4M13.5 2v3.2h-3.2"/>`,
		"clip":       `<path d="M13 7.5l-5.3 5.3a3.2 3.2 0 0 1-4.5-4.5l5.6-5.6a2.1 2.1 0 0 1 3 3L6.3 11.2a1 1 0 0 1-1.5-1.4L9.8 4.8"/>`,
		"up":         `<path d="M4 9.5l4-4 4 4"/>`,
		"down":       `<path d="M4 6.5l4 4 4-4"/>`,
		"left":       `<path d="M9.5 4l-4 4 4 4"/>`,
		"right":      `<path d="M6.5 4l4 4-4 4"/>`,
		"auto":       disc + `<path d="M8 1.5a6.5 6.5 0 0 1 0 13z" fill="currentColor" stroke="none"/>`,
		"light":      `<circle cx="8" cy="8" r="3"/><path d="M8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1.1 1.1M11.9 11.9L13 13M13 3l-1.1 1.1M4.1 11.9L3 13"/>`,
		"dark":       `<path d="M13.5 9.5A6 6 0 0 1 6.5 2.5a6 6 0 1 0 7 7z"/>`,
		"help":       disc + `<path d="M6 6.3c0-2.6 4.2-2.5 4.2 0C10.2 8 8 7.9 8 9.5M8 11.7v.1"/>`,
		"out":        `<path d="M6.5 2.5h-4v11h4M6 8h8M11 5l3 3-3 3"/>`,
		"alert":      `<path d="M8 1.8l6.7 12H1.3zM8 6v4M8 12v.1"/>`,
		"lock":       `<rect x="3" y="7" width="10" height="7" rx="1.5"/><path d="M5 7V5a3 3 0 0 1 6 0v2"/>`,
	}
}
