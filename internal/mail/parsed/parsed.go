// Package parsed is a message as Mailgun shows it to programs: the bodies as
// text, what of them the writer wrote, the header as a list, the files. Both
// what a route posts to a URL and what the API answers for a stored message
// are made here, so they agree.
package parsed

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"postroad/internal/mail/mime"
	"postroad/internal/mail/quote"
)

// Message is a message that was read. Texts are UTF-8 whatever they were sent
// in.
type Message struct {
	*mime.Message
	// Plain is the text body; made from HTML where there is none.
	Plain string
	// Stripped is Plain without quotations and signature, Signature the
	// signature; StrippedHTML is HTML without quotations. They are empty where
	// nothing could be told or nothing is left.
	Stripped, Signature, StrippedHTML string
}

// Parse reads a message. Its errors are those of mime.Parse: ErrTooLarge and
// ErrHeaderTooLarge; broken MIME is read as far as it makes sense.
func Parse(raw []byte, limits mime.Limits) (*Message, error) {
	p, err := mime.Parse(raw, limits)
	if err != nil {
		return nil, err
	}
	m := &Message{Message: p, Plain: p.Text}
	if p.HTML != "" {
		m.StrippedHTML = quote.HTML(p.HTML)
	}
	if strings.TrimSpace(m.Plain) == "" && p.HTML != "" {
		m.Plain = quote.PlainText(p.HTML)
		m.Stripped, m.Signature = quote.HTMLText(p.HTML)
	} else {
		m.Stripped, m.Signature = quote.Text(m.Plain)
	}
	return m, nil
}

// From is the From field, decoded.
func (m *Message) From() string { return m.Get("From") }

// Subject is the Subject field, decoded.
func (m *Message) Subject() string { return m.Get("Subject") }

// Bodies gives the texts under their names of the wire, those that are empty
// left out but for body-plain. Mailgun: body-plain is always present,
// stripped-* are absent where stripping failed.
func (m *Message) Bodies() [][2]string {
	out := [][2]string{{"body-plain", m.Plain}}
	for _, f := range [...][2]string{
		{"body-html", m.HTML}, {"body-x-amp-html", m.AMP},
		{"stripped-text", m.Stripped}, {"stripped-signature", m.Signature}, {"stripped-html", m.StrippedHTML},
	} {
		if f[1] != "" {
			out = append(out, f)
		}
	}
	return out
}

// Fields gives what a route posts besides the envelope and the proof of its
// origin: each header field under its own name, from, subject, message-headers,
// and the bodies; or, for a URL that wants MIME, body-mime in their place.
// Mailgun: such URLs still get the stripped fields.
func (m *Message) Fields(raw []byte, asMIME bool) [][2]string {
	out := make([][2]string, 0, len(m.Header)+10)
	for _, h := range m.Header {
		if !isReserved(h[0]) {
			out = append(out, h)
		}
	}
	out = append(out, [2]string{"from", m.From()}, [2]string{"subject", m.Subject()}, [2]string{"message-headers", m.HeaderJSON()})
	for _, f := range m.Bodies() {
		if !asMIME || !strings.HasPrefix(f[0], "body-") {
			out = append(out, f)
		}
	}
	if asMIME {
		out = append(out, [2]string{"body-mime", string(raw)})
	}
	return out
}

// isReserved reports whether a field of the post has this name, which a sender
// must not set by a header field: who receives believes recipient or signature.
func isReserved(name string) bool {
	switch name {
	case "recipient", "recipients", "sender", "from", "subject", "domain", "timestamp", "token", "signature", "message-headers", "message-url", "content-id-map":
		return true
	}
	for _, prefix := range []string{"body-", "stripped-", "attachment"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// HeaderJSON is the header as a JSON list of pairs, in order.
func (m *Message) HeaderJSON() string { return encode(m.headers()) }

func (m *Message) headers() [][2]string {
	if m.Header == nil {
		return [][2]string{}
	}
	return m.Header
}

// Named gives the fields that a stored message shows as members, under the
// names Mailgun's documents give them; of several the last.
func (m *Message) Named() map[string]string {
	out := map[string]string{}
	for _, h := range m.Header {
		switch strings.ToLower(h[0]) {
		case "content-transfer-encoding", "content-type", "from", "message-id", "mime-version", "subject", "to", "cc", "date", "sender",
			"reply-to", "x-mailgun-tag", "x-mailgun-template-name", "x-mailgun-template-variables", "x-mailgun-variables":
			out[titled(h[0])] = h[1]
		}
	}
	return out
}

// titled writes a header name as Mailgun's documents do.
func titled(name string) string {
	parts := strings.Split(strings.ToLower(name), "-")
	for i, p := range parts {
		if p != "" {
			parts[i] = strings.ToUpper(p[:1]) + p[1:]
		}
	}
	return strings.Join(parts, "-")
}

// File is what is told of an attachment that is not sent along.
type File struct {
	ContentType string `json:"content-type"`
	Name        string `json:"name"`
	Size        int    `json:"size"` // octets
	URL         string `json:"url"`
}

// Files lists the attachments of the stored message at url. Mailgun: they are
// numbered from 0.
func (m *Message) Files(url string) []File {
	out := make([]File, len(m.Attachments))
	for i, a := range m.Attachments {
		out[i] = File{ContentType: a.ContentType, Name: a.Name, Size: a.Size, URL: url + "/attachments/" + strconv.Itoa(i)}
	}
	return out
}

// FilesJSON is the attachments field of a notification: Files as JSON.
func (m *Message) FilesJSON(url string) string { return encode(m.Files(url)) }

// ByContentID maps the Content-ID of each attachment that has one, with angle
// brackets, to what of gives for its index.
func ByContentID[T any](m *Message, of func(i int) T) map[string]T {
	out := map[string]T{}
	for i, a := range m.Attachments {
		if a.ContentID != "" {
			out["<"+a.ContentID+">"] = of(i)
		}
	}
	return out
}

// ContentIDJSON is the content-id-map of a route's post: names of fields by
// Content-ID, or "" if there are none.
func (m *Message) ContentIDJSON() string {
	ids := ByContentID(m, FieldName)
	if len(ids) == 0 {
		return ""
	}
	return encode(ids)
}

// FilesByIDJSON is the content-id-map of a notification: what FilesJSON tells of
// a file, by Content-ID, or "" if there are none.
func (m *Message) FilesByIDJSON(url string) string {
	files := m.Files(url)
	ids := ByContentID(m, func(i int) File { return files[i] })
	if len(ids) == 0 {
		return ""
	}
	return encode(ids)
}

// FieldName is the field a route posts attachment i in. Mailgun: they are
// numbered from 1.
func FieldName(i int) string { return "attachment-" + strconv.Itoa(i+1) }

// encode writes JSON with < > & as they are.
func encode(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "" // strings and numbers always encode
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Document is a stored message as the API answers it, without what only the
// envelope knows. Mailgun: stripped-text and stripped-signature are members
// of every stored message, the HTML ones of those that have HTML.
func (m *Message) Document(url string) map[string]any {
	out := map[string]any{"message-headers": m.headers(), "stripped-text": m.Stripped, "stripped-signature": m.Signature}
	for name, value := range m.Named() {
		out[name] = value
	}
	for _, f := range m.Bodies() {
		out[f[0]] = f[1]
	}
	files := m.Files(url)
	out["from"], out["subject"] = m.From(), m.Subject()
	out["attachments"] = files
	out["content-id-map"] = ByContentID(m, func(i int) File { return files[i] })
	return out
}
