package httpapi

import (
	"bufio"
	"bytes"
	"io"
	"mime/multipart"
	"strings"
)

// parts reads the parts of a multipart body. Those written as nearly all
// clients write text fields (a Content-Disposition with a plain name, no other
// field, CRLF line ends) it reads in place. At the first thing that is different
// mime/multipart takes over and reads the rest: what is lenient and what is an
// error stays its business.
type parts struct {
	in       *bufio.Reader
	boundary string
	delim    []byte // CRLF, two hyphens, boundary
	at       spot
	ready    int  // bytes of the value at the start of the buffer
	begun    bool // some of the value was given out

	std  *multipart.Reader // set once it has taken over
	rest io.Reader         // what it reads of the part that was begun here
}

// part is one part of the body.
type part struct {
	disposition, contentType string
	body                     io.Reader // valid until the next part is asked for
}

// spot is where in the body parts stands.
type spot uint8

const (
	atStart spot = iota
	atHead       // behind a boundary line
	inValue
	atEnd // behind the last boundary line
)

// maxPlainHead is the longest header of a part read in place.
const maxPlainHead = 1200

const dispositionHead = "Content-Disposition: "

// maxBoundary is the longest boundary there may be (RFC 2046 section 5.1.1).
const maxBoundary = 70

func newParts(in *bufio.Reader, boundary string) *parts {
	p := &parts{in: in, boundary: boundary, delim: []byte("\r\n--" + boundary)}
	if len(boundary) > maxBoundary {
		p.handOver("")
	}
	return p
}

// next skips what is unread of a part and returns the one after it. Errors are
// those of mime/multipart; io.EOF after the last part.
func (p *parts) next() (part, error) {
	if p.std == nil && p.at == inValue {
		if err := p.skip(); err != nil {
			return part{}, err
		}
	}
	if p.std == nil && p.at == atStart {
		p.start()
	}
	if p.std == nil && p.at == atEnd {
		return part{}, io.EOF
	}
	if p.std == nil {
		if value, ok := p.head(); ok {
			p.at, p.ready, p.begun = inValue, 0, false
			return part{disposition: value, body: p}, nil
		}
		p.handOver("--" + p.boundary + "\r\n")
	}
	sp, err := p.std.NextPart()
	if err != nil {
		return part{}, err
	}
	return part{disposition: sp.Header.Get("Content-Disposition"), contentType: sp.Header.Get("Content-Type"), body: sp}, nil
}

// handOver makes mime/multipart read the rest, after what it has to have seen.
func (p *parts) handOver(seen string) {
	p.std = multipart.NewReader(io.MultiReader(strings.NewReader(seen), p.in), p.boundary)
}

func (p *parts) start() {
	line := append(p.delim[2:len(p.delim):len(p.delim)], "\r\n"...)
	if buf, err := p.in.Peek(len(line)); err != nil || !bytes.Equal(buf, line) {
		p.handOver("")
		return
	}
	p.discard(len(line))
	p.at = atHead
}

// discard drops bytes that are in the buffer, which cannot fail.
func (p *parts) discard(n int) { _, _ = p.in.Discard(n) }

// head reads the header of a part if it is a plain one, else nothing.
func (p *parts) head() (disposition string, ok bool) {
	for want := 1; want <= maxPlainHead; want = p.in.Buffered() + 1 {
		if _, err := p.in.Peek(want); err != nil {
			return "", false
		}
		buf, _ := p.in.Peek(min(p.in.Buffered(), maxPlainHead)) // is there
		end := bytes.Index(buf, []byte("\r\n\r\n"))
		if end < 0 {
			continue
		}
		value, ok := bytes.CutPrefix(buf[:end], []byte(dispositionHead))
		if !ok {
			return "", false
		}
		disposition = string(value)
		if _, ok := plainDisposition(disposition); !ok {
			return "", false
		}
		p.discard(end + 4)
		return disposition, true
	}
	return "", false
}

// Read reads the value of the part.
func (p *parts) Read(b []byte) (int, error) {
	if p.rest != nil {
		return p.rest.Read(b)
	}
	if p.ready == 0 {
		if err := p.look(); err != nil {
			return 0, err
		}
		if p.rest != nil {
			return p.rest.Read(b)
		}
	}
	n, err := p.in.Read(b[:min(len(b), p.ready)]) // from the buffer alone
	p.ready -= n
	p.begun = p.begun || n > 0
	return n, err
}

// look finds how much of the buffer is value. io.EOF at the end of the part,
// whose boundary line is then read.
func (p *parts) look() error {
	if p.at != inValue {
		return io.EOF
	}
	if _, err := p.in.Peek(len(p.delim) + 2); err != nil {
		return p.handOverValue()
	}
	buf, _ := p.in.Peek(p.in.Buffered())
	switch i := bytes.Index(buf, p.delim); {
	case !p.begun && bytes.HasPrefix(buf, p.delim[2:]): // a boundary may stand right behind the header
		return p.handOverValue()
	case i < 0:
		p.ready = len(buf) - len(p.delim) + 1 // the boundary may begin in what is left
		return nil
	case i > 0:
		p.ready = i
		return nil
	}
	return p.boundaryLine()
}

// boundaryLine reads the line the buffer begins with, if it is a plain one.
func (p *parts) boundaryLine() error {
	const last = "--\r\n"
	n := len(p.delim)
	buf, err := p.in.Peek(n + len(last))
	switch after := string(buf[n:]); {
	case strings.HasPrefix(after, "\r\n"):
		p.discard(n + 2)
		p.at = atHead
	case after == last, after == "--" && err == io.EOF:
		p.discard(len(buf))
		p.at = atEnd
	default:
		return p.handOverValue()
	}
	return io.EOF
}

// handOverValue makes mime/multipart read the part that was begun, as one without a
// header. At the start of a value boundaries are looked for in another way, so
// that it is given an octet to stand for those that were read.
func (p *parts) handOverValue() error {
	seen := "--" + p.boundary + "\r\n\r\n"
	if p.begun {
		seen += "x"
	}
	p.handOver(seen)
	sp, err := p.std.NextPart()
	if err == nil && p.begun {
		_, err = io.ReadFull(sp, make([]byte, 1))
	}
	p.rest = sp
	return err
}

// skip reads to the end of the value. Where mime/multipart has taken over it
// does that itself.
func (p *parts) skip() error {
	for p.rest == nil {
		p.discard(p.ready)
		p.begun = p.begun || p.ready > 0
		p.ready = 0
		if err := p.look(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}
