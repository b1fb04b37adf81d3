package smtp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// Refusals of message contents.
var (
	errBareCR   = &Error{Code: 550, Enhanced: "5.6.11", Text: "message contains a bare CR"}
	errBareLF   = &Error{Code: 550, Enhanced: "5.6.11", Text: "message contains a bare LF"}
	errNUL      = &Error{Code: 550, Enhanced: "5.6.0", Text: "message contains a NUL octet"}
	errTooLarge = &Error{Code: 552, Enhanced: "5.3.4", Text: "message exceeds the size limit"}
)

// errFlood ends a connection that goes on sending long after the size limit.
var errFlood = errors.New("smtp: message far above the size limit")

// dotState is what the octets read so far mean for the next one.
type dotState uint8

const (
	atLine  dotState = iota // after CRLF, or at the start
	inText                  // inside a line
	inCR                    // inside a line after a CR that was not handed out
	inLF                    // before a bare LF that becomes CRLF
	atDot                   // after a dot at the start of a line
	atDotCR                 // after CR after such a dot
	atEnd                   // after CRLF.CRLF
)

// dotReader reads a message in DATA form (RFC 5321 4.5.2), which ends only at
// CRLF.CRLF, or in chunks, where dots mean nothing. At the first forbidden octet
// Read fails with an *Error, while drain goes on to the end, so that the dialogue
// stays in step.
type dotReader struct {
	br     *bufio.Reader
	limit  int64   // octets of the message
	bareLF bool    // turn a bare LF into CRLF
	chunks *chunks // nil for DATA

	state dotState
	used  int   // octets of the buffer to discard before the next run
	size  int64 // octets of the message so far
	raw   int64 // octets taken from the connection so far
	run   []byte
	bad   error // first refusal, or the failure of the connection
	lost  error // failure of the connection
}

// Read implements io.Reader.
func (d *dotReader) Read(p []byte) (int, error) {
	for len(d.run) == 0 {
		if err := d.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, d.run)
	d.run = d.run[n:]
	return n, nil
}

// WriteTo implements io.WriterTo; it spares io.Copy a buffer.
func (d *dotReader) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		if len(d.run) > 0 {
			n, err := w.Write(d.run)
			total += int64(n)
			d.run = d.run[n:]
			if err != nil {
				return total, err
			}
		}
		if err := d.fill(); err == io.EOF {
			return total, nil
		} else if err != nil {
			return total, err
		}
	}
}

// fill makes run the next octets of the message.
func (d *dotReader) fill() error {
	if d.bad != nil {
		return d.bad
	}
	run, err := d.next()
	if err != nil {
		return err
	}
	if bytes.IndexByte(run, 0) >= 0 {
		d.refuse(errNUL)
	}
	if d.size += int64(len(run)); d.size > d.limit {
		d.refuse(errTooLarge)
	}
	if d.bad != nil {
		return d.bad
	}
	d.run = run
	return nil
}

// drain reads up to the end of the message and returns the verdict on it: nil,
// a refusal, or the failure of the connection. Of a message in chunks that was
// refused, here or by the backend, only the chunk is read (RFC 3030, section 2).
func (d *dotReader) drain(taken bool) error {
	d.run = nil
	for d.bad == nil && (taken || d.chunks == nil) {
		if err := d.fill(); err == io.EOF {
			return nil
		}
	}
	if d.chunks != nil {
		d.skipChunk()
		if d.lost == nil {
			return d.bad
		}
	}
	for d.lost == nil {
		if _, err := d.next(); err == io.EOF {
			return d.bad
		}
	}
	return d.lost
}

func (d *dotReader) refuse(err error) {
	if d.bad == nil {
		d.bad = err
	}
}

// lose records that the end of the message will never be seen.
func (d *dotReader) lose(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if d.lost == nil {
		d.lost = err
	}
	d.refuse(err)
	return d.lost
}

// next returns the next run of message octets with dots unstuffed. It is valid
// until the following call and may be empty. io.EOF means that the end was seen.
// Forbidden line ends are recorded by refuse and do not stop it.
func (d *dotReader) next() ([]byte, error) {
	if d.state == atEnd {
		return nil, io.EOF
	}
	if d.lost != nil {
		return nil, d.lost
	}
	if err := d.advance(); err != nil {
		return nil, d.lose(err)
	}
	buf, _ := d.br.Peek(d.br.Buffered()) // cannot fail: it is buffered
	if d.chunks != nil {
		if d.chunks.left == 0 {
			return d.lastLine(), nil
		}
		buf = buf[:min(int64(len(buf)), d.chunks.left)]
	}
	switch d.state {
	case atLine:
		if buf[0] == '.' && d.chunks == nil {
			d.used, d.state = 1, atDot
			return nil, nil
		}
	case atDot:
		if buf[0] == '\r' {
			d.used, d.state = 1, atDotCR
			return nil, nil
		}
	case atDotCR:
		if buf[0] == '\n' {
			d.used, d.state = 1, atEnd
			return nil, d.finish()
		}
		d.refuse(errBareCR)
	case inCR:
		if buf[0] == '\n' {
			d.used, d.state = 1, atLine
			return []byte(crlf), nil
		}
		d.refuse(errBareCR)
	case inLF:
		if d.used, d.state = 1, inText; d.chunks != nil {
			d.state = atLine
		}
		return []byte(crlf), nil
	}
	d.state = inText
	return d.text(buf), nil
}

// finish takes the last octet and leaves the buffer at the next command.
func (d *dotReader) finish() error {
	if _, err := d.br.Discard(d.used); err != nil {
		return d.lose(err)
	}
	d.used = 0
	return io.EOF
}

// advance discards what the last run used and makes sure that there is input.
func (d *dotReader) advance() error {
	if _, err := d.br.Discard(d.used); err != nil {
		return err
	}
	d.raw += int64(d.used)
	if d.chunks != nil {
		d.chunks.left -= int64(d.used)
	}
	d.used = 0
	if d.raw > floodLimit(d.limit) {
		return errFlood
	}
	if d.chunks != nil {
		if err := d.nextChunk(); err != nil || d.chunks.left == 0 {
			return err
		}
	}
	_, err := d.br.Peek(1)
	return err
}

// text finds the run at the start of buf, which is inside a line: as many lines
// as need no change. It sets used and state.
func (d *dotReader) text(buf []byte) []byte {
	i := 0
	for {
		lf := bytes.IndexByte(buf[i:], '\n')
		if lf < 0 {
			return d.tail(buf, i)
		}
		line := buf[i : i+lf]
		i += lf + 1
		n := len(line) - 1
		if n < 0 || line[n] != '\r' {
			if bytes.IndexByte(line, '\r') >= 0 {
				d.refuse(errBareCR)
			}
			return d.loneLF(buf, i)
		}
		if bytes.IndexByte(line[:n], '\r') >= 0 {
			d.refuse(errBareCR)
		}
		if i == len(buf) || buf[i] == '.' && d.chunks == nil {
			d.used, d.state = i, atLine
			return buf[:i]
		}
	}
}

// loneLF ends the run at the bare LF before i. Where bare LFs are allowed it is
// left unread, for next to hand out CRLF in its place. What follows it does not
// count as the start of a line: a dot there is neither an end nor unstuffed.
func (d *dotReader) loneLF(buf []byte, i int) []byte {
	if !d.bareLF {
		d.refuse(errBareLF)
		d.used = i
		return buf[:i]
	}
	d.used, d.state = i-1, inLF
	return buf[:i-1]
}

// tail ends the run at the end of the buffer, the last line of which begins at
// i. A CR there may be half of a CRLF and is held back.
func (d *dotReader) tail(buf []byte, i int) []byte {
	rest := buf[i:]
	end := len(buf)
	if n := len(rest) - 1; n >= 0 && rest[n] == '\r' {
		rest, end = rest[:n], end-1
		d.state = inCR
	}
	if bytes.IndexByte(rest, '\r') >= 0 {
		d.refuse(errBareCR)
	}
	d.used = len(buf)
	return buf[:end]
}
