package smtp

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// session is the server's end of one connection.
type session struct {
	srv *Server
	cfg *Config
	w   *wire
	br  *bufio.Reader
	bw  *bufio.Writer

	remote  net.Addr     // the client, also behind a proxy
	local   net.Addr     // the address it connected to
	peer    netip.Addr   // the client by what the connection or a PROXY header says
	ip      netip.Prefix // what the limits count by
	counted bool         // in the limits of its address
	name    string       // reverse DNS name that XCLIENT told
	alias   string       // HELO name that XCLIENT told

	cancel context.CancelFunc // cuts the connection and ends the context

	helo     string // "" before HELO
	extended bool
	tls      *tls.ConnectionState
	backend  Session // nil before HELO
	authed   bool
	tx       serverTx
	errs     int
	quit     bool // close after the reply

	began        time.Time // times are of Config.Now
	progress     time.Time // end of the last message, or beginning of the session
	futile       int       // commands since the last message was taken, recipients aside
	mails        int       // transactions so far
	chunksFailed bool      // chunks may still come of a message that was refused
	skipped      int64     // octets of such chunks since the last MAIL
	next         string    // a command that ended a message in chunks

	mu       sync.Mutex
	draining bool
	waiting  bool // blocked in a read, outside of any transaction
}

// serverTx is the state of a transaction (RFC 5321 4.1.4).
type serverTx struct {
	open    bool // MAIL was accepted
	utf8    bool
	null    bool // the sender is
	rcpts   int
	refused int
	until   time.Time // when a message in chunks must be complete
}

var (
	errDraining = errors.New("smtp: server is closing")
	errLineLong = &Error{Code: 500, Enhanced: "5.5.2", Text: "line too long"}
	errLineEnd  = &Error{Code: 500, Enhanced: "5.5.2", Text: "line must end with CRLF and hold no other CR or LF"}
	errLineText = &Error{Code: 500, Enhanced: "5.5.2", Text: "line holds invalid octets"}
)

// serverBuffers are the buffers that sessions share one after the other.
type serverBuffers struct {
	readers, writers sync.Pool
	lent             atomic.Int64 // sessions that hold buffers
}

func (b *serverBuffers) lend(ss *session) {
	var ok bool
	if ss.br, ok = b.readers.Get().(*bufio.Reader); !ok {
		ss.br = bufio.NewReaderSize(nil, readBuffer)
	}
	if ss.bw, ok = b.writers.Get().(*bufio.Writer); !ok {
		ss.bw = bufio.NewWriterSize(nil, writeBuffer)
	}
	ss.br.Reset(ss.w)
	ss.bw.Reset(ss.w)
	b.lent.Add(1)
}

func (b *serverBuffers) reclaim(ss *session) {
	b.lent.Add(-1)
	ss.br.Reset(nil)
	ss.bw.Reset(nil)
	b.readers.Put(ss.br)
	b.writers.Put(ss.bw)
	ss.br, ss.bw = nil, nil
}

func newSession(s *Server, conn net.Conn) *session {
	ss := &session{
		srv: s,
		cfg: &s.cfg,
		w:   &wire{raw: conn, conn: conn, write: s.cfg.Timeouts.Write},
	}
	ss.setPeer(conn.RemoteAddr(), conn.LocalAddr())
	ss.began = ss.now()
	ss.progress = ss.began
	return ss
}

// setPeer sets who the client is.
func (ss *session) setPeer(remote, local net.Addr) {
	ss.remote, ss.local = remote, local
	ss.peer, ss.ip = addrOf(remote), ClientPrefix(remote)
}

func (ss *session) now() time.Time { return ss.cfg.Now() }

// RemoteAddr implements Conn.
func (ss *session) RemoteAddr() net.Addr { return ss.remote }

// LocalAddr implements Conn.
func (ss *session) LocalAddr() net.Addr { return ss.local }

// PeerName implements Conn.
func (ss *session) PeerName() string { return ss.name }

// HELO implements Conn.
func (ss *session) HELO() string {
	if ss.alias != "" {
		return ss.alias
	}
	return ss.helo
}

// Extended implements Conn.
func (ss *session) Extended() bool { return ss.extended }

// TLS implements Conn.
func (ss *session) TLS() *tls.ConnectionState { return ss.tls }

// run speaks with the client until either has had enough. A panic of the backend
// costs its own connection and not the server.
func (ss *session) run(ctx context.Context) {
	ss.srv.bufs.lend(ss)
	defer func() {
		if p := recover(); p != nil {
			ss.warn("session panicked", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		} else {
			ss.srv.bufs.reclaim(ss)
		}
		_ = ss.w.conn.Close() // everything that matters was flushed
	}()
	defer ss.endBackend()
	if !ss.admitted(ctx) {
		return
	}
	if ss.cfg.ImplicitTLS && !ss.handshake(ctx) {
		return
	}
	ss.reply(220, "", ss.cfg.Hostname+" ESMTP")
	for !ss.quit {
		line, err := ss.command()
		if err == nil {
			ss.dispatch(ctx, line)
		} else if bad, ok := err.(*Error); ok {
			ss.protest(bad.Code, bad.Enhanced, bad.Text)
		} else {
			ss.farewell(err)
		}
		ss.checkLimits()
	}
	_ = ss.bw.Flush() // the client may be gone; it is told no more in any case
}

// farewell ends the session after a failed read.
func (ss *session) farewell(err error) {
	ss.quit = true
	var ne net.Error
	switch {
	case errors.Is(err, errDraining):
		ss.reply(421, "4.3.2", ss.cfg.Hostname+" closing, try again later")
	case errors.As(err, &ne) && ne.Timeout() && !ss.w.interrupted():
		ss.cut("4.4.2", ss.cfg.Hostname+" timeout")
	}
}

func (ss *session) endBackend() {
	if ss.backend != nil {
		ss.reset()
		ss.backend.Close()
		ss.backend = nil
	}
}

// forget makes the session as it was before HELO.
func (ss *session) forget() {
	ss.endBackend()
	ss.helo, ss.extended, ss.authed = "", false, false
	ss.tx = serverTx{}
	ss.chunksFailed = false
}

// reset forgets the transaction, if there is one.
func (ss *session) reset() {
	if ss.tx.open {
		ss.backend.Reset()
	}
	ss.tx = serverTx{}
}

// command returns the next command line. Replies are held back while a complete
// line is waiting in the buffer, so that a pipelined batch is answered at once.
func (ss *session) command() (string, error) {
	return ss.line(ss.cfg.MaxLine)
}

func (ss *session) line(limit int) (string, error) {
	ready := ss.br.Buffered() > 0 && ss.lineReady()
	if !ready {
		if err := ss.bw.Flush(); err != nil {
			return "", err
		}
		if ss.br.Buffered() == 0 {
			if err := ss.rest(); err != nil {
				return "", err
			}
			ready = ss.lineReady()
		}
	}
	if !ss.await(!ready, ss.cfg.Timeouts.Command) {
		return "", errDraining
	}
	line, err := ss.readLine(limit)
	if !ready && ss.awaited() && err != nil {
		return "", errDraining
	}
	return line, err
}

func (ss *session) lineReady() bool {
	buffered, _ := ss.br.Peek(ss.br.Buffered()) // cannot fail: it is buffered
	return bytes.IndexByte(buffered, '\n') >= 0
}

// rest waits for the client's next octet. A client that is quiet for a while
// gives its buffers back meanwhile, so that idle connections cost little.
func (ss *session) rest() error {
	if !ss.await(true, ss.cfg.Timeouts.Release) {
		return errDraining
	}
	_, err := ss.br.Peek(1)
	nudged := ss.awaited()
	if err == nil {
		return nil
	}
	var ne net.Error
	switch {
	case nudged:
		return errDraining
	case !errors.As(err, &ne) || !ne.Timeout() || ss.w.interrupted() || ss.patience() == 0:
		return err
	}
	ss.srv.bufs.reclaim(ss)
	defer ss.srv.bufs.lend(ss)
	if !ss.await(true, ss.cfg.Timeouts.Command) {
		return errDraining
	}
	err = ss.w.wait()
	if ss.awaited() && err != nil {
		return errDraining
	}
	return err
}

// await prepares for a read that may block for at most d. It returns false when
// the server is closing and the session has no transaction to finish.
func (ss *session) await(block bool, d time.Duration) bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.draining && !ss.tx.open {
		return false
	}
	if block {
		ss.waiting = !ss.tx.open
		ss.w.armRead(min(d, ss.patience()))
	}
	return true
}

// awaited ends what await began and reports whether nudge ended the read.
func (ss *session) awaited() bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	nudged := ss.waiting && ss.draining
	ss.waiting = false
	return nudged
}

// nudge tells the session that the server is closing. Only the read of an idle
// session is broken off.
func (ss *session) nudge() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.draining = true
	if ss.waiting {
		ss.w.setRead(0, past)
	}
}

// readLine reads a line of at most limit octets with its CRLF, and returns it
// without. An *Error is the reply to a line that cannot be used.
func (ss *session) readLine(limit int) (string, error) {
	raw, err := ss.br.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", ss.skipLine()
	}
	if err != nil {
		return "", err
	}
	if len(raw) > limit {
		return "", errLineLong
	}
	line := raw[:len(raw)-1]
	if n := len(line) - 1; n >= 0 && line[n] == '\r' {
		line = line[:n]
	} else if !ss.cfg.AllowBareLF {
		return "", errLineEnd
	}
	if bytes.IndexByte(line, '\r') >= 0 {
		return "", errLineEnd
	}
	if bytes.IndexByte(line, 0) >= 0 || !utf8.Valid(line) {
		return "", errLineText
	}
	return string(line), nil
}

// skipLine discards the rest of a line that is longer than the buffer, within
// reason.
func (ss *session) skipLine() error {
	for range 4 {
		_, err := ss.br.ReadSlice('\n')
		if err == nil {
			return errLineLong
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
	ss.quit = true
	return errLineLong
}

// reply writes a reply; it is sent by the next flush. Errors stay in the
// bufio.Writer until then.
func (ss *session) reply(code int, enhanced, text string) {
	for {
		line, rest, more := strings.Cut(text, "\n")
		out := append(ss.bw.AvailableBuffer(), byte('0'+code/100), byte('0'+code/10%10), byte('0'+code%10))
		if more {
			out = append(out, '-')
		} else {
			out = append(out, ' ')
		}
		if enhanced != "" {
			out = append(append(out, enhanced...), ' ')
		}
		out = append(append(out, cleanText(line)...), crlf...)
		_, _ = ss.bw.Write(out) // sticky error, see Flush
		if !more {
			return
		}
		text = rest
	}
}

// protest is a reply to a protocol error, which counts.
func (ss *session) protest(code int, enhanced, text string) {
	ss.errs++
	ss.reply(code, enhanced, text)
}

// replyError answers with the error of a backend. fallback is said in place of
// an error that is not meant for the client.
func (ss *session) replyError(err error, doing string, fallback *Error) {
	var e *Error
	if !errors.As(err, &e) || e.Code < 400 || e.Code > 599 {
		ss.warn("smtp backend failed", slog.String("command", doing), slog.Any("error", err))
		e = fallback
	}
	enhanced := e.Enhanced
	if enh, rest := splitEnhanced([]byte(enhanced)); enh == "" || len(rest) > 0 {
		enhanced = ""
	}
	ss.reply(e.Code, enhanced, e.Text)
	if e.Code == 421 {
		ss.quit = true
	}
}

func (ss *session) warn(msg string, attrs ...any) {
	ss.cfg.Logger.With("remote", ss.RemoteAddr().String(), "helo", ss.HELO()).Warn(msg, attrs...)
}

// handshake encrypts the connection. Plaintext still in the buffer is dropped
// (RFC 3207 6 and CVE-2011-0411).
func (ss *session) handshake(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, ss.cfg.Timeouts.Handshake)
	defer cancel()
	ss.w.armRead(ss.cfg.Timeouts.Handshake)
	tc := tls.Server(ss.w.raw, ss.cfg.TLS)
	if err := tc.HandshakeContext(ctx); err != nil {
		if !errors.Is(err, io.EOF) {
			ss.cfg.Logger.Debug("smtp TLS handshake failed", "remote", ss.RemoteAddr().String(), "error", err)
		}
		return false
	}
	state := tc.ConnectionState()
	ss.tls = &state
	ss.w.conn = tc
	ss.br.Reset(ss.w)
	ss.bw.Reset(ss.w)
	return true
}
