package httpapi

import (
	"bufio"
	"compress/flate"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"

	"postroad/internal/base/errs"
)

// Texts of a body that cannot be read. Mailgun: the error list of POST messages.
const (
	textTruncated = "unable to parse request: unexpected EOF"
	textEscape    = "unable to parse request: invalid URL escape"
	textMultipart = "malformed multipart/form-data request"
)

// paceBytes is how much of a body renews the read deadline.
const paceBytes = 64 << 10

// body is a request body: unpacked, limited, and with errors fit for the
// client. An error is kept, since the decoders on top of it rephrase.
type body struct {
	src      io.Reader // unpacked
	max      int64
	n        int64 // bytes given out
	received int64 // bytes on the wire
	err      error // first failure; io.EOF at the end

	readers *sync.Pool // of *bufio.Reader; nil in bodies that are no request's
	in      *bufio.Reader

	conn  http.ResponseController
	raw   io.Reader
	idle  time.Duration
	paced int64 // received at the last renewal
	timed bool  // a deadline is set
	ended bool  // all was read off the wire
	zip   io.Closer
}

// hasBody reports whether a body was sent with r.
func hasBody(r *http.Request) bool {
	return r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0
}

// openBody prepares the body of the request. A body announced as too large is
// refused before it is read.
func (c *call) openBody() (*body, error) {
	b := &body{max: c.api.max, readers: &c.api.readers, conn: *http.NewResponseController(c.w), idle: c.api.idle}
	if c.r.ContentLength > b.max {
		c.w.Header().Set("Connection", "close")
		return nil, b.tooLarge()
	}
	b.raw = http.MaxBytesReader(c.w, c.r.Body, b.max)
	c.body = b
	if err := b.unpack(c.r.Header.Get("Content-Encoding")); err != nil {
		return nil, err
	}
	return b, nil
}

func (b *body) unpack(encoding string) error {
	wire := wireReader{b}
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		b.src = wire
		return nil
	case "gzip", "x-gzip":
		zr, err := gzip.NewReader(wire)
		if err != nil {
			return b.fail(packError{err})
		}
		b.src, b.zip = zr, zr
	case "deflate":
		zr, err := inflate(wire)
		if err != nil {
			return b.fail(packError{err})
		}
		b.src, b.zip = zr, zr
	default:
		return errs.New(errs.Unsupported, "unsupported Content-Encoding '%s', use gzip or deflate", clip(encoding, 40))
	}
	return nil
}

// inflate reads deflate as RFC 9110 means it, in a zlib wrapper, or bare as
// many clients send it.
func inflate(r io.Reader) (io.ReadCloser, error) {
	br := bufio.NewReader(r)
	head, err := br.Peek(2)
	if err != nil {
		return nil, err
	}
	if head[0]&0x0f == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 {
		return zlib.NewReader(br)
	}
	return flate.NewReader(br), nil
}

// packError is damage to a compressed body.
type packError struct{ error }

// wireReader reads the bytes as sent, counts them and renews the deadline.
type wireReader struct{ b *body }

func (w wireReader) Read(p []byte) (int, error) {
	b := w.b
	if b.received == 0 || b.received-b.paced >= paceBytes {
		b.pace()
	}
	n, err := b.raw.Read(p)
	b.received += int64(n)
	b.ended = b.ended || err == io.EOF
	return n, err
}

// pace gives the client time for the next stretch. The server lifts the
// deadline at the end of the body, before the operation goes on. Writers
// without a connection (tests) have no deadline to set.
func (b *body) pace() {
	b.paced = b.received
	b.timed = b.conn.SetReadDeadline(time.Now().Add(b.idle)) == nil
}

// Read gives out unpacked bytes. Errors other than io.EOF are *errs.Error.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if room := b.max - b.n + 1; int64(len(p)) > room {
		p = p[:room]
	}
	n, err := b.src.Read(p)
	b.n += int64(n)
	if b.n > b.max {
		b.err = b.tooLarge()
		return n - int(b.n-b.max), b.err
	}
	if err != nil {
		if err != io.EOF && b.zip != nil {
			err = packError{err}
		}
		return n, b.fail(err)
	}
	return n, nil
}

// fail keeps the first failure in the form the client is told.
func (b *body) fail(err error) error {
	if b.err != nil {
		return b.err
	}
	b.err = b.phrase(err)
	return b.err
}

func (b *body) phrase(err error) error {
	var tooLarge *http.MaxBytesError
	var pack packError
	switch {
	case err == io.EOF:
		return io.EOF
	case errors.As(err, &tooLarge):
		return b.tooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errTimeout
	case errors.As(err, &pack):
		return errs.Wrap(errs.Invalid, err, "unable to parse request: invalid compressed data")
	default:
		return errs.Wrap(errs.Invalid, err, textTruncated)
	}
}

// tooLarge has Mailgun's text, which calls a decimal megabyte MiB.
func (b *body) tooLarge() error {
	return errs.New(errs.TooLarge, "request size exceeds %sMiB limit", fmt.Sprintf("%.1f", float64(b.max)/1e6))
}

// failure returns what went wrong with the body itself, nil when it is whole.
func (b *body) failure() error {
	if b.err == nil || b.err == io.EOF {
		return nil
	}
	return b.err
}

// drain reads what follows the end of a form, so that the connection can be
// used again and the server notices a client that leaves.
func (b *body) drain() {
	if b.err != nil {
		return
	}
	var scrap [512]byte
	for range 128 {
		if _, err := b.Read(scrap[:]); err != nil {
			return
		}
	}
}

// bufferBytes is read at once of a form: most messages are then read with two
// calls of the system.
const bufferBytes = 16 << 10

// buffered returns a reader of the body that is valid until close.
func (b *body) buffered() *bufio.Reader {
	if b.readers != nil && b.in == nil {
		b.in, _ = b.readers.Get().(*bufio.Reader)
	}
	if b.in == nil {
		b.in = bufio.NewReaderSize(nil, bufferBytes)
	}
	b.in.Reset(b)
	return b.in
}

// close ends the reading; the server discards what is left.
func (b *body) close() {
	if b.in != nil && b.readers != nil {
		b.in.Reset(nil)
		b.readers.Put(b.in)
		b.in = nil
	}
	if b.zip != nil {
		_ = b.zip.Close() // says only what Read has said
	}
}

// boundRest gives the server a deadline for discarding what was not read of
// the body: without one a silent client would hold the connection for ever. A
// deadline that has passed stays, the server lifts it before the next request.
func (c *call) boundRest() {
	if !hasBody(c.r) || c.body != nil && (c.body.timed || c.body.ended) {
		return
	}
	if err := http.NewResponseController(c.w).SetReadDeadline(time.Now().Add(c.api.idle)); err != nil {
		c.api.log.Debug("no read deadline", "err", err)
	}
}
