package smtp

import (
	"bufio"
	"context"
	"errors"
	"net"
	"strconv"
	"time"
)

// maxBatch bounds the commands sent before their replies are read, so that
// neither side can block the other with full buffers (RFC 2920 3.1).
const maxBatch = 100

// replyBadTo is the verdict on a recipient that cannot be put on the wire.
var replyBadTo = Reply{Code: 553, Enhanced: "5.1.3", Text: "recipient address cannot be sent"}

// step is a command whose reply is outstanding.
type step struct {
	stage string
	rcpt  int // index of the recipient
}

// transaction is one run of Send.
type transaction struct {
	c        *Client
	ctx      context.Context
	env      *Envelope
	dsn      *DSN // nil where the server does not offer DSN
	bw       *bufio.Writer
	open     []step
	line     []byte
	accepted int
	data     Reply // reply to DATA
	res      Result
	err      error // what ended the transaction
}

// Send transfers one message to the recipients of an envelope, pipelined where
// the server offers it. The error is nil when the message was accepted for at
// least one recipient; Result.Outcome tells which. With a *ReplyError every
// recipient has an outcome too. After a *StageError or *ProtocolError those
// without an outcome are undecided; if its stage is StageBody the server may
// have taken the message. ErrNoEightBit and local ReplyErrors leave the
// connection as it was.
func (c *Client) Send(ctx context.Context, env Envelope, msg Message) (Result, error) {
	t := transaction{c: c, ctx: ctx, env: &env}
	if c.ext.DSN {
		t.dsn = env.DSN
	}
	t.res.Recipients = make([]Reply, len(env.To))
	if c.bad {
		return t.res, ErrUnusable
	}
	params, err := c.check(&env, msg)
	if err != nil {
		var re *ReplyError
		if errors.As(err, &re) {
			t.res.fill(re.Reply)
		}
		return t.res, err
	}
	defer c.guard(ctx)()
	t.line = make([]byte, 0, 128)
	t.open = make([]step, 0, min(len(env.To)+3, maxBatch))
	t.bw = c.o.Buffers.get(c.w)
	defer c.o.Buffers.put(t.bw)
	t.envelope(params)
	t.message(msg)
	return t.res, t.err
}

// envelope runs the dialogue up to the reply to DATA.
func (t *transaction) envelope(params string) {
	if t.c.br.Buffered() > 0 {
		t.err = t.c.failed(t.ctx, StageMail, errReplyPending)
		return
	}
	if t.c.busy {
		t.issue(step{stage: StageReset}, "RSET", "", "")
	}
	if t.err == nil {
		t.issue(step{stage: StageMail}, "MAIL FROM:<", t.env.From, ">"+params)
	}
	valid := 0
	for i, to := range t.env.To {
		if t.err != nil {
			break
		}
		if to == "" || !sendable(to) {
			t.res.Recipients[i] = replyBadTo
			continue
		}
		valid++
		rest := ">"
		if t.dsn != nil {
			rest = string(t.dsn.rcptParams([]byte(rest), t.env.From, i))
		}
		t.issue(step{stage: StageRcpt, rcpt: i}, "RCPT TO:<", to, rest)
	}
	if t.err == nil && (t.accepted > 0 || valid > 0 && t.undecided()) {
		t.issue(step{stage: StageData}, "DATA", "", "")
	}
	t.settle()
	if t.err == nil && t.accepted == 0 {
		t.err = t.noneAccepted()
	}
}

// undecided reports whether the reply to some RCPT is still to come.
func (t *transaction) undecided() bool {
	return len(t.open) > 0 && t.open[len(t.open)-1].stage == StageRcpt
}

func (t *transaction) noneAccepted() error {
	return &ReplyError{Stage: StageRcpt, Reply: t.res.Recipients[len(t.res.Recipients)-1]}
}

// issue writes one command. Without PIPELINING its reply is awaited at once,
// otherwise when the batch is full.
func (t *transaction) issue(s step, verb, arg, rest string) {
	t.line = append(append(append(t.line[:0], verb...), arg...), rest...)
	if t.c.log.on {
		t.c.log.add(FromClient, string(t.line))
	}
	t.line = append(t.line, crlf...)
	_, _ = t.bw.Write(t.line) // sticky error, see settle
	t.open = append(t.open, s)
	if !t.c.ext.Pipelining || len(t.open) >= maxBatch {
		t.settle()
	}
}

// settle sends what was issued and reads the outstanding replies. It reads on
// after a refusal, because the dialogue must stay in step, but not after a 421.
func (t *transaction) settle() {
	if len(t.open) == 0 {
		return
	}
	open := t.open
	t.open = t.open[:0]
	if t.c.br.Buffered() > 0 {
		t.end(t.c.failed(t.ctx, open[0].stage, errReplyPending))
		return
	}
	if err := t.bw.Flush(); err != nil {
		t.end(t.c.failed(t.ctx, open[0].stage, err))
		return
	}
	for _, s := range open {
		d := t.c.o.Timeouts.Command
		if s.stage == StageData {
			d = t.c.o.Timeouts.DataInit
		}
		r, err := t.c.reply(t.ctx, s.stage, d)
		if err != nil {
			t.end(err)
			return
		}
		t.apply(s, r)
		if t.c.bad {
			return
		}
	}
}

// end records the first error only: after a refusal a lost connection does not
// change the verdict.
func (t *transaction) end(err error) {
	if t.err == nil {
		t.err = err
	}
}

// apply takes note of the reply to s.
func (t *transaction) apply(s step, r Reply) {
	ok := r.Code >= 200 && r.Code < 300
	switch {
	case s.stage == StageData:
		t.data = r
		if ok || r.Code >= 300 && r.Code < 400 && r.Code != 354 {
			t.end(t.c.failed(t.ctx, s.stage, errReplyCode))
		} else if r.Code != 354 {
			t.refusedData(r)
		}
	case r.Positive() && !ok:
		t.end(t.c.failed(t.ctx, s.stage, errReplyCode))
	case s.stage == StageRcpt && t.err == nil && r.Code != 421:
		t.res.Recipients[s.rcpt] = r
		if ok {
			t.accepted++
		}
	case !ok && t.err == nil:
		t.c.bad = t.c.bad || s.stage == StageReset
		t.res.fill(r)
		t.end(t.c.refused(s.stage, r))
	case s.stage == StageMail:
		t.c.busy = true
	case s.stage == StageReset:
		t.c.busy = false
	}
}

// refusedData takes note of a refused DATA. When no recipient was accepted the
// refusal only says so.
func (t *transaction) refusedData(r Reply) {
	switch {
	case t.err != nil:
	case t.accepted > 0 || r.Code == 421:
		t.res.Data = r
		t.res.fill(r)
		t.end(t.c.refused(StageData, r))
	}
}

// message sends the message if the server waits for one. Where it does so
// although there is no one to take it, the message is left empty (RFC 2920 3.1).
func (t *transaction) message(msg Message) {
	if t.data.Code != 354 || t.c.bad {
		return
	}
	// What lies here now would be taken for the verdict on a message that the
	// server has not seen.
	if t.c.br.Buffered() > 0 {
		t.end(t.c.failed(t.ctx, StageBody, errReplyPending))
		t.c.bad = true
		return
	}
	if t.err != nil || t.accepted == 0 {
		t.emptyMessage()
		return
	}
	t.c.w.limitWrites(2*t.c.o.Timeouts.Block + time.Duration(msg.Size()>>10)*time.Second)
	defer t.c.w.limitWrites(0)
	s := stuffer{w: t.bw}
	for _, p := range msg {
		s.write(p)
	}
	s.end()
	err := t.bw.Flush()
	if t.c.log.on {
		t.c.log.add(FromClient, "(message, "+strconv.Itoa(s.n)+" bytes)")
	}
	if err != nil {
		t.brokenBody(err)
		return
	}
	r, err := t.c.reply(t.ctx, StageBody, t.c.o.Timeouts.Final)
	if err != nil {
		t.err = err
		return
	}
	if r.Positive() && r.Code >= 300 {
		t.err = t.c.failed(t.ctx, StageBody, errReplyCode)
		return
	}
	t.c.busy = false
	t.res.Data = r
	if !r.Positive() {
		t.err = t.c.refused(StageBody, r)
	}
}

func (t *transaction) emptyMessage() {
	t.c.log.add(FromClient, ".")
	if _, err := t.c.w.Write([]byte(".\r\n")); err != nil {
		t.c.bad = true // the verdict stands already
		return
	}
	if _, err := t.c.reply(t.ctx, StageBody, t.c.o.Timeouts.Final); err != nil || t.c.bad {
		return
	}
	if err := t.c.reset(t.ctx); err != nil {
		t.c.bad = true // as above
	}
}

// brokenBody handles a connection that failed while the message was sent. A
// server that refuses a message in the middle often says so before it closes.
func (t *transaction) brokenBody(cause error) {
	err := t.c.failed(t.ctx, StageBody, cause)
	var ne net.Error
	if t.ctx.Err() == nil && !(errors.As(cause, &ne) && ne.Timeout()) {
		r, rerr := t.c.reply(t.ctx, StageBody, min(t.c.o.Timeouts.Final, 5*time.Second))
		if rerr == nil && !r.Positive() {
			t.res.Data = r
			err = t.c.refused(StageBody, r)
		}
	}
	t.err = err
}
