package smtp

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// ClientTimeouts bounds the waits of a client. Zero fields take the values of
// RFC 5321 4.5.3.2.
type ClientTimeouts struct {
	Banner   time.Duration // the greeting; 5 minutes
	Command  time.Duration // the reply to a command, a TLS handshake; 5 minutes
	DataInit time.Duration // the reply to DATA; 2 minutes
	Block    time.Duration // progress of one write; 3 minutes. A message: twice that, and 1 s per KiB
	Final    time.Duration // the reply to the final dot; 10 minutes
	Quit     time.Duration // the reply to QUIT; 5 seconds
}

func (t *ClientTimeouts) setDefaults() {
	orDefault(&t.Banner, 5*time.Minute)
	orDefault(&t.Command, 5*time.Minute)
	orDefault(&t.DataInit, 2*time.Minute)
	orDefault(&t.Block, 3*time.Minute)
	orDefault(&t.Final, 10*time.Minute)
	orDefault(&t.Quit, 5*time.Second)
}

// orDefault sets *v to d unless it is positive.
func orDefault[T ~int | ~int64](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// ClientOptions configures a Client.
type ClientOptions struct {
	HELO       string // our own name, required
	ServerName string // the server's name, for the transcript only
	Timeouts   ClientTimeouts
	Transcript bool // record the dialogue
	// OnLine sees each line of the transcript as it comes, also beyond
	// MaxTranscript; bytes of the server are as it sent them. It must be quick.
	OnLine         func(dir byte, text string)
	MaxTranscript  int              // bytes of text recorded; 0 means 16384
	AllowPlainAuth bool             // permit AUTH without TLS
	Now            func() time.Time // the clock of the transcript; nil means time.Now
	Buffers        *Buffers         // shared write buffers; nil means a pool of its own
}

// Client is a session with a server. Only Close may be called while another
// method runs.
type Client struct {
	o    ClientOptions
	w    *wire
	br   *bufio.Reader
	ext  Extensions
	tls  *tls.ConnectionState
	log  transcript
	busy bool // the server may hold a transaction: RSET before the next MAIL
	bad  bool
}

// NewClient reads the banner from conn and says EHLO, or HELO when the server
// refuses EHLO. If conn is a *tls.Conn the session counts as encrypted. On error
// conn is closed. Errors: *ReplyError, *StageError, *ProtocolError, ErrName.
func NewClient(ctx context.Context, conn net.Conn, o ClientOptions) (*Client, error) {
	o.Timeouts.setDefaults()
	orDefault(&o.MaxTranscript, defaultMaxTranscript)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Buffers == nil {
		o.Buffers = new(Buffers)
	}
	c := &Client{o: o, w: &wire{raw: conn, conn: conn, write: o.Timeouts.Block}}
	c.br = bufio.NewReaderSize(c.w, maxReplyLine)
	c.log = transcript{on: o.Transcript, now: o.Now, max: o.MaxTranscript, tap: o.OnLine}
	c.log.restart()
	defer c.guard(ctx)()
	if err := c.greet(ctx); err != nil {
		_ = conn.Close() // the first error is the one that counts
		return nil, err
	}
	return c, nil
}

func (c *Client) greet(ctx context.Context) error {
	if !validHELO(c.o.HELO) {
		return ErrName
	}
	if c.o.ServerName != "" {
		c.log.add(Note, "server "+c.o.ServerName)
	}
	r, err := c.reply(ctx, StageBanner, c.o.Timeouts.Banner)
	if err != nil {
		return err
	}
	if tc, ok := c.w.raw.(*tls.Conn); ok {
		c.secured(tc) // the banner completed the handshake
	}
	if r.Code != 220 {
		return c.unwanted(ctx, StageBanner, r)
	}
	return c.hello(ctx)
}

// validHELO admits host names and address literals.
func validHELO(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return s != "" && len(s) <= maxDomain
}

func (c *Client) hello(ctx context.Context) error {
	c.ext = Extensions{}
	r, err := c.command(ctx, StageEHLO, "EHLO "+c.o.HELO)
	if err != nil {
		return err
	}
	if r.Code == 250 {
		c.ext = parseExtensions(r.Text)
		return nil
	}
	if !r.Permanent() {
		return c.unwanted(ctx, StageEHLO, r)
	}
	if r, err = c.command(ctx, StageEHLO, "HELO "+c.o.HELO); err != nil {
		return err
	}
	if r.Code != 250 {
		return c.unwanted(ctx, StageEHLO, r)
	}
	return nil
}

// Extensions returns what the server offered in its last EHLO reply.
func (c *Client) Extensions() Extensions {
	x := c.ext
	x.Auth = slices.Clone(x.Auth)
	return x
}

// TLS returns the state of the encryption, or nil without any.
func (c *Client) TLS() *tls.ConnectionState { return c.tls }

// Usable reports whether the dialogue is in a known state, so that another
// transaction may follow on the connection. A server that has said more than it
// was asked is not in one.
func (c *Client) Usable() bool { return !c.bad && c.br.Buffered() == 0 }

// Transcript returns the lines recorded since StartTranscript, or since the
// beginning.
func (c *Client) Transcript() []TranscriptLine { return slices.Clone(c.log.lines) }

// StartTranscript drops the lines recorded so far and restarts the clock.
func (c *Client) StartTranscript() { c.log.restart() }

// Reset ends any transaction with RSET.
func (c *Client) Reset(ctx context.Context) error {
	if c.bad {
		return ErrUnusable
	}
	defer c.guard(ctx)()
	return c.reset(ctx)
}

func (c *Client) reset(ctx context.Context) error {
	r, err := c.command(ctx, StageReset, "RSET")
	if err != nil {
		return err
	}
	if r.Code != 250 {
		c.bad = true
		return c.unwanted(ctx, StageReset, r)
	}
	c.busy = false
	return nil
}

// Quit says QUIT, waits briefly for the reply and closes the connection. A
// connection that is not usable is only closed.
func (c *Client) Quit(ctx context.Context) error {
	var err error
	if !c.bad {
		stop := c.guard(ctx)
		if err = c.send(ctx, StageQuit, "QUIT"); err == nil {
			_, err = c.reply(ctx, StageQuit, c.o.Timeouts.Quit)
		}
		stop()
	}
	c.bad = true
	return errors.Join(err, c.Close())
}

// Close closes the connection without a word.
func (c *Client) Close() error { return c.w.raw.Close() }

// guard makes ctx interrupt all blocked input and output until the function it
// returns is called.
func (c *Client) guard(ctx context.Context) func() {
	if ctx.Done() == nil {
		return func() {}
	}
	stop := context.AfterFunc(ctx, c.w.interrupt)
	return func() {
		if !stop() {
			c.bad = true // the interruption is, or will be, in the deadlines
		}
	}
}

// command sends a line and reads the reply.
func (c *Client) command(ctx context.Context, stage, line string) (Reply, error) {
	if err := c.send(ctx, stage, line); err != nil {
		return Reply{}, err
	}
	return c.reply(ctx, stage, c.o.Timeouts.Command)
}

// send writes one command line. Data that the server sent before it is a
// protocol error: taken for the reply it would shift all that follow.
func (c *Client) send(ctx context.Context, stage, line string) error {
	c.log.add(FromClient, line)
	return c.sendRaw(ctx, stage, line)
}

func (c *Client) sendRaw(ctx context.Context, stage, line string) error {
	if c.br.Buffered() > 0 {
		return c.failed(ctx, stage, errReplyPending)
	}
	if _, err := c.w.Write([]byte(line + crlf)); err != nil {
		return c.failed(ctx, stage, err)
	}
	return nil
}

// reply reads one reply within d.
func (c *Client) reply(ctx context.Context, stage string, d time.Duration) (Reply, error) {
	c.w.armRead(d)
	var record func([]byte)
	if c.log.on {
		record = c.log.server
	}
	r, err := readReply(c.br, record)
	if err != nil {
		return r, c.failed(ctx, stage, err)
	}
	if r.Code == 421 { // the server closes the channel (RFC 5321 3.8)
		c.bad = true
	}
	return r, nil
}

// failed makes the typed error of a step that got no reply.
func (c *Client) failed(ctx context.Context, stage string, err error) error {
	c.bad = true
	for _, reason := range []error{errReplySyntax, errReplyLong, errReplyMixed, errReplyCode, errReplyPending} {
		if errors.Is(err, reason) {
			return &ProtocolError{Stage: stage, Err: err}
		}
	}
	if ctx.Err() != nil && c.w.interrupted() {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	c.log.add(Note, stage+": "+err.Error())
	return &StageError{Stage: stage, Err: err}
}

func (c *Client) refused(stage string, r Reply) error {
	return &ReplyError{Stage: stage, Reply: r}
}

// unwanted is the error for a reply that is not the one wanted: a refusal, or a
// positive one that is no answer to the command, after which nobody knows what
// the server is at.
func (c *Client) unwanted(ctx context.Context, stage string, r Reply) error {
	if r.Positive() {
		return c.failed(ctx, stage, errReplyCode)
	}
	return c.refused(stage, r)
}

// offers reports whether the server offered an AUTH mechanism.
func (c *Client) offers(mech string) bool {
	return slices.ContainsFunc(c.ext.Auth, func(s string) bool { return strings.EqualFold(s, mech) })
}
