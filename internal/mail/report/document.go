package report

import (
	"bytes"
	"strings"

	"postroad/internal/mail/mime"
)

// Bounds of what is looked at. A report is short; what it returns of the
// original may be long and is not searched.
const (
	maxParts      = 200
	maxDepth      = 12
	maxText       = 64 << 10  // of the text for people, in octets
	maxStatus     = 1 << 20   // of the part for machines
	maxHeader     = 128 << 10 // of the original's header
	maxFields     = 500       // of the original's header
	maxRecipients = 1000
	maxAddress    = 512
	maxDiagnostic = 2048
)

// document is a report taken apart: the first part of each kind.
type document struct {
	raw                                    []byte
	root                                   *mime.Node
	header                                 mime.Fields
	text, html, status, feedback, original *mime.Node
	reportType                             string
	truncated                              bool
	parts                                  int
}

// open takes a message apart; nil if there is no sense in it. Messages within
// the message are not opened: a report that somebody forwards is none.
func open(raw []byte) *document {
	root, truncated, err := mime.Structure(raw, mime.Limits{MaxParts: maxParts, MaxDepth: maxDepth})
	if err != nil {
		return nil
	}
	d := &document{raw: raw, root: root, header: root.Header(), truncated: truncated}
	if root.ContentType == "multipart/report" {
		d.reportType = strings.ToLower(root.Param("report-type"))
	}
	d.collect(root)
	if d.status == nil {
		d.disguised()
	}
	return d
}

func (d *document) collect(n *mime.Node) {
	d.parts++
	for _, c := range n.Children {
		d.collect(c)
	}
	if len(n.Children) > 0 {
		return
	}
	slot := d.slot(n)
	if slot != nil && *slot == nil {
		*slot = n
	}
}

// slot is where a leaf belongs, nil for those of no interest.
func (d *document) slot(n *mime.Node) **mime.Node {
	switch n.ContentType {
	case "text/plain":
		if n.Disposition != "attachment" || d.text == nil && n.Name == "" {
			return &d.text
		}
	case "text/html":
		return &d.html
	case "message/delivery-status", "message/global-delivery-status":
		return &d.status
	case "message/feedback-report":
		return &d.feedback
	case "message/rfc822", "message/global", "text/rfc822-headers", "message/rfc822-headers", "message/global-headers", "text/rfc822", "text/rfc822-header":
		return &d.original
	}
	return nil
}

// disguised finds the status in a report whose parts a gateway made text.
func (d *document) disguised() {
	if d.reportType != "delivery-status" {
		return
	}
	for _, n := range d.root.Children {
		if n != d.text && strings.HasPrefix(n.ContentType, "text/") && containsFold(n.Content(d.raw, maxText), "final-recipient:") {
			d.status = n
			return
		}
	}
}

func containsFold(b []byte, lower string) bool {
	return bytes.Contains(bytes.ToLower(b), []byte(lower))
}

// notice is the text for people, with LF line ends.
func (d *document) notice() string {
	var s string
	switch {
	case d.text != nil:
		s = d.text.Text(d.raw, maxText)
	case d.html != nil:
		s = plain(d.html.Text(d.raw, maxText))
	case len(d.root.Children) == 0 && d.root != d.original:
		s = d.root.Text(d.raw, maxText)
	}
	if len(s) > 4*maxText { // a character set may blow it up
		s = s[:4*maxText]
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

// returned reads the part with the original or its header.
func (d *document) returned() Original {
	if d.original == nil {
		return Original{}
	}
	return readOriginal(d.original.Content(d.raw, maxHeader))
}
