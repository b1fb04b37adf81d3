package resend

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"path"
	"strings"

	"postroad/internal/base/netx"
)

// attachment is a file of an email: its content, or the URL where it is.
type attachment struct {
	Content         content `json:"content"`
	Filename        any     `json:"filename"` // a string; the Node SDK's types allow false
	Path            string  `json:"path"`
	ContentType     string  `json:"content_type"`
	ContentID       string  `json:"content_id"`
	InlineContentID string  `json:"inline_content_id"` // its name before

	name string
}

// content is binary: in base64, as the list of its bytes (the Go SDK), or as a Buffer
// of Node.js that was made JSON of.
type content []byte

// UnmarshalJSON implements json.Unmarshaler.
func (c *content) UnmarshalJSON(b []byte) error {
	switch b[0] {
	case '"':
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		return c.base64(s)
	case '[':
		return c.list(b)
	case '{':
		var buffer struct {
			Data json.RawMessage `json:"data"`
		}
		if err := json.Unmarshal(b, &buffer); err != nil {
			return err
		}
		if len(buffer.Data) > 0 && buffer.Data[0] == '[' {
			return c.list(buffer.Data)
		}
	case 'n':
		return nil
	}
	return refuse(422, badAttachment, "The `content` of an attachment must be base64.")
}

func (c *content) base64(s string) error {
	s = strings.TrimRight(strings.NewReplacer("\r", "", "\n", "").Replace(s), "=")
	out, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil {
		return refuse(422, badAttachment, "The `content` of an attachment must be base64.")
	}
	*c = out
	return nil
}

// list reads numbers from 0 to 255 in one pass: a large file is millions of them.
func (c *content) list(b []byte) error {
	bad := refuse(422, badAttachment, "The `content` of an attachment must be base64 or bytes.")
	out := make([]byte, 0, len(b)/4+1)
	n, digits := 0, 0
	for _, ch := range b[1:] {
		switch {
		case ch >= '0' && ch <= '9':
			if n, digits = n*10+int(ch-'0'), digits+1; n > 255 {
				return bad
			}
		case ch == ',' || ch == ']':
			if digits > 0 {
				out = append(out, byte(n))
			}
			n, digits = 0, 0
		case ch != ' ' && ch != '\t' && ch != '\r' && ch != '\n':
			return bad
		}
	}
	*c = out
	return nil
}

// checkFiles names the files and refuses those without content.
func (e *email) checkFiles() error {
	if len(e.Attachments) > maxFiles {
		return refuse(422, badAttachment, "An email may have at most %d attachments.", maxFiles)
	}
	for i := range e.Attachments {
		a := &e.Attachments[i]
		if a.ContentID == "" {
			a.ContentID = a.InlineContentID
		}
		if len(a.ContentID) > 128 || strings.ContainsAny(a.ContentID, "<> \t\r\n\x00") {
			return refuse(422, badAttachment, "The `content_id` of an attachment must be less than 128 characters without blanks or brackets.")
		}
		if a.Content == nil && a.Path == "" {
			return refuse(422, badAttachment, "Attachment must have either a `content` or `path`.")
		}
		if a.Content != nil && a.Path != "" {
			return refuse(422, badAttachment, "Attachment must have only one of `content` and `path`.")
		}
		a.name, _ = a.Filename.(string)
		if a.name == "" {
			a.name = nameOf(a.Path)
		}
	}
	return nil
}

// nameOf is the file name of a URL.
func nameOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Path == "" || strings.HasSuffix(u.Path, "/") {
		return "attachment"
	}
	return path.Base(u.Path)
}

// fetch gets the files that are given by URL. How many are fetched at a time is
// bounded, and so is the size of each and of the message.
func (s *Service) fetch(ctx context.Context, e *email) error {
	total := int64(0)
	for i := range e.Attachments {
		a := &e.Attachments[i]
		if a.Path == "" {
			continue
		}
		select {
		case s.fetching <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		err := s.fetchOne(ctx, a)
		<-s.fetching
		if err != nil {
			return err
		}
		if total += int64(len(a.Content)); total > s.Messages.MaxBytes {
			return refuse(422, badAttachment, "The attachments are too large: an email may have %d bytes.", s.Messages.MaxBytes)
		}
	}
	return nil
}

func (s *Service) fetchOne(ctx context.Context, a *attachment) error {
	bad := func(why string) error {
		return refuse(422, badAttachment, "The `path` of an attachment could not be fetched: %s.", why)
	}
	if err := netx.ValidateURL(a.Path); err != nil {
		return bad("not a valid URL")
	}
	resp, err := s.Client.Do(ctx, netx.Request{URL: a.Path})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, netx.ErrForbiddenAddress):
		return bad("its address is not public")
	case err != nil || resp.BodyErr != nil:
		return bad("no answer")
	case resp.Truncated:
		return bad("it is too large")
	case resp.Status != 200:
		return bad("the server did not answer 200")
	}
	a.Content = resp.Body
	return nil
}
