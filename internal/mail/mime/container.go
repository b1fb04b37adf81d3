package mime

import (
	"bytes"
	"errors"
	"strings"
)

// ErrContainer: a multipart/mailgun-variables lacks one of its two parts, or its
// JSON part cannot be decoded.
var ErrContainer = errors.New("multipart/mailgun-variables needs an application/json and a message/rfc822 part")

const containerType = "multipart/mailgun-variables"

// OpenContainer takes a multipart/mailgun-variables apart: the variables, JSON as
// it was sent, and the message they are for. Any other message gives nil, nil.
// The slices may share memory with raw. The errors are ErrContainer and
// ErrHeaderTooLarge.
func OpenContainer(raw []byte, header Fields) (variables, message []byte, err error) {
	f, _ := header.Find("Content-Type")
	kind := bytes.TrimLeft(f.Value, " \t\r\n")
	if !strings.EqualFold(view(kind[:min(len(kind), len(containerType))]), containerType) {
		return nil, nil, nil
	}
	w := walker{raw: raw, limits: Limits{MaxParts: 10, MaxDepth: 1}.orDefault()}
	root, err := w.walk(0, len(raw), 0, "text/plain")
	if err != nil {
		return nil, nil, err
	}
	if root.ContentType != containerType {
		return nil, nil, nil
	}
	for _, n := range root.Children {
		data, clean := decodeBody(raw[n.Body:n.End], n.Encoding)
		switch {
		case n.ContentType == "application/json" && variables == nil && clean && !strings.HasPrefix(n.Disposition, "attachment"):
			variables = data
		case n.ContentType == "message/rfc822" && message == nil && clean:
			message = data
		}
	}
	if len(variables) == 0 || len(message) == 0 {
		return nil, nil, ErrContainer
	}
	return variables, message, nil
}
