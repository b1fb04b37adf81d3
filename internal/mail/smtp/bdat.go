package smtp

import (
	"context"
	"errors"
	"strconv"
	"strings"
)

// Limits of a message in chunks (RFC 3030).
const (
	tinyChunk     = 1024 // a smaller one that is not the last costs more than it brings
	maxTinyChunks = 1000 // of one message
)

var (
	// errAbandoned ends a message between two chunks. The client has its answer,
	// or gets it from the command that did so.
	errAbandoned  = errors.New("smtp: message abandoned between chunks")
	errTinyChunks = &Error{Code: 554, Enhanced: "5.5.0", Text: "too many small chunks"}
	errChunkOrder = &Error{Code: 503, Enhanced: "5.5.1", Text: "message is incomplete: BDAT or RSET"}
)

// chunks is the state of a message that comes by BDAT.
type chunks struct {
	ss    *session
	size  int64 // octets of the chunk
	left  int64 // of them not yet used
	last  bool
	total int64 // octets declared by all chunks so far
	tiny  int   // small chunks so far
}

// parseChunk reads the parameters of BDAT. Sizes beyond any limit become the
// largest number.
func parseChunk(args string) (size int64, last, ok bool) {
	digits, rest, more := strings.Cut(args, " ")
	last = strings.EqualFold(rest, "LAST")
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil && !errors.Is(err, strconv.ErrRange) || more && !last {
		return 0, false, false
	}
	return int64(n), last, true
}

// bdat takes a chunk of a message and those that follow it. Whatever the
// outcome, the transaction is over.
func (ss *session) bdat(ctx context.Context, args string) {
	size, last, ok := parseChunk(args)
	switch {
	case !ok:
		ss.badChunk()
		return
	case !ss.tx.open || ss.tx.rcpts == 0:
		ss.strayChunk(size, last)
		return
	}
	ss.tx.until = ss.now().Add(ss.cfg.Timeouts.Message)
	c := &chunks{ss: ss}
	d := dotReader{br: ss.br, limit: ss.cfg.MaxMessageBytes, bareLF: ss.cfg.AllowBareLF, chunks: c}
	if err := d.begin(size, last); err != nil {
		_ = d.lose(err) // told by transfer
	}
	ss.transfer(ctx, &d, "BDAT")
	ss.chunksFailed = !c.last && d.lost == nil
	ss.reset()
	if line := ss.next; line != "" {
		ss.next = ""
		ss.dispatch(ctx, line)
	}
}

// badChunk ends a session whose next octets may be a message or commands: to
// guess would let the one pass for the other.
func (ss *session) badChunk() {
	ss.protest(501, "5.5.4", "expected BDAT <size> [LAST]; closing, as the chunk cannot be found")
	ss.quit = true
}

// strayChunk discards a chunk that belongs to no message. Those that were on
// their way when an earlier one was refused are no new error.
func (ss *session) strayChunk(size int64, last bool) {
	defer ss.reset()
	if ss.skipped += min(size, maxMaxBytes); ss.skipped > floodLimit(ss.cfg.MaxMessageBytes) {
		ss.protest(errTooLarge.Code, errTooLarge.Enhanced, errTooLarge.Text)
		ss.quit = true
		return
	}
	ss.w.armReads(ss.cfg.Timeouts.Data, ss.cfg.Timeouts.Message)
	d := dotReader{br: ss.br, chunks: &chunks{ss: ss, left: size}}
	if d.skipChunk(); d.lost != nil {
		ss.farewell(d.lost)
		return
	}
	switch {
	case ss.chunksFailed:
		ss.chunksFailed = !last
		ss.reply(503, "5.5.1", "the message was refused")
	case ss.tx.open:
		ss.reply(554, "5.5.1", "no valid recipients")
		ss.chunksFailed = !last
	default:
		ss.protest(503, "5.5.1", "MAIL first")
		ss.chunksFailed = !last
	}
}

// floodLimit is how much of a message that is too large is read to keep the
// dialogue in step.
func floodLimit(limit int64) int64 { return 2*limit + 1024 }

// begin takes note of a chunk and prepares for reading it. A message that will
// be too large is refused before it is read.
func (d *dotReader) begin(size int64, last bool) error {
	c, ss := d.chunks, d.chunks.ss
	c.size, c.left, c.last = size, size, last
	c.total += min(size, maxMaxBytes)
	if c.total > floodLimit(d.limit) {
		return errFlood
	}
	if c.total > d.limit {
		d.refuse(errTooLarge)
	}
	if size < tinyChunk && !last {
		if c.tiny++; c.tiny > maxTinyChunks {
			d.refuse(errTinyChunks)
		}
	}
	// A client that waits for the replies to what it sent before must get them.
	if int64(d.br.Buffered()) < size {
		if err := ss.bw.Flush(); err != nil {
			return err
		}
	}
	ss.w.armReads(ss.cfg.Timeouts.Data, max(0, ss.tx.until.Sub(ss.now())))
	return nil
}

// nextChunk makes sure that there is a chunk to read, unless the last was read.
func (d *dotReader) nextChunk() error {
	for d.chunks.left == 0 && !d.chunks.last {
		if err := d.awaitChunk(); err != nil {
			return err
		}
	}
	return nil
}

// awaitChunk answers a chunk and reads the command of the next. DATA has no place
// in such a transaction, nor has anything else that is part of one.
func (d *dotReader) awaitChunk() error {
	ss := d.chunks.ss
	ss.reply(250, "2.0.0", strconv.FormatInt(d.chunks.size, 10)+" octets received")
	for {
		line, err := ss.command()
		d.br = ss.br
		var bad *Error
		if errors.As(err, &bad) {
			ss.protest(bad.Code, bad.Enhanced, bad.Text)
			return errAbandoned
		}
		if err != nil {
			return err
		}
		verb, args := splitCommand(line)
		switch verb {
		case "BDAT":
			size, last, ok := parseChunk(args)
			if !ok {
				ss.badChunk()
				return errAbandoned
			}
			return d.begin(size, last)
		case "NOOP":
			if ss.futile++; ss.futile > ss.cfg.MaxFutile {
				return errAbandoned // the session's loop ends it
			}
			ss.reply(250, "2.0.0", "OK")
		case "RSET", "QUIT", "EHLO", "HELO":
			ss.next = line
			return errAbandoned
		default:
			ss.protest(errChunkOrder.Code, errChunkOrder.Enhanced, errChunkOrder.Text)
			return errAbandoned
		}
	}
}

// lastLine ends the message after its last chunk. A line that lacks its CRLF
// gets one, so that what is stored has the form that DATA gives it.
func (d *dotReader) lastLine() []byte {
	state := d.state
	d.state = atEnd
	switch state {
	case inCR:
		d.refuse(errBareCR)
	case inText:
		return []byte(crlf)
	}
	return nil
}

// skipChunk discards what is left of a chunk.
func (d *dotReader) skipChunk() {
	if d.lost != nil {
		return
	}
	c := d.chunks
	_, err := d.br.Discard(d.used)
	c.left -= int64(d.used)
	d.used = 0
	for c.left > 0 && err == nil {
		var n int
		n, err = d.br.Discard(int(min(c.left, 1<<20)))
		c.left -= int64(n)
	}
	if err != nil {
		_ = d.lose(err)
	}
}
