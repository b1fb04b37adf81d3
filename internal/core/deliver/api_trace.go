package deliver

import (
	"context"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"

	"postroad/internal/base/dnsx"
	"postroad/internal/base/errs"
	"postroad/internal/base/op"
	"postroad/internal/mail/smtp"
)

const traceDoc = `The answer is a stream of server-sent events, one for each line as it is said, until the client leaves. Logins and contents of messages do not stand in it. A client that does not keep up loses lines.`

type traceIn struct {
	Lane        string `form:"lane" max:"1000" doc:"only this lane, or all lanes of this site"`
	Destination string `form:"destination" max:"255" doc:"only transactions for this recipient domain"`
	Domain      string `form:"domain" max:"255" doc:"only messages of this sending domain"`
	Message     string `form:"message" max:"1000" doc:"only this message: id, Message-Id or storage key"`
}

// lineView is the data of an event.
type lineView struct {
	At          time.Time `json:"at"`
	Lane        string    `json:"lane"`
	Session     int64     `json:"session"`
	Message     string    `json:"message,omitempty"`
	MessageID   string    `json:"message_id,omitempty"`
	Domain      string    `json:"domain,omitempty"`
	Recipient   string    `json:"recipient,omitempty"`
	Destination string    `json:"destination,omitempty"`
	Direction   string    `json:"direction"` // ">" we said, "<" they said, "-" a remark
	Text        string    `json:"text"`
}

func lineOf(l *Line) lineView {
	v := lineView{At: l.At, Lane: l.Lane, Session: l.Session, MessageID: l.MessageID, Domain: l.Sender, Recipient: l.Recipient, Destination: l.Destination,
		Direction: "-", Text: l.Text}
	if l.Message != 0 {
		v.Message = strconv.FormatInt(l.Message, 10)
	}
	switch l.Dir {
	case smtp.FromClient:
		v.Direction = ">"
	case smtp.FromServer:
		v.Direction = "<"
	}
	return v
}

// traceOut is the stream.
type traceOut struct{ body io.Reader }

// Respond implements op.Responder.
func (o *traceOut) Respond() op.Response {
	return op.Response{ContentType: "text/event-stream", Header: [][2]string{{"Cache-Control", "no-store"}, {"X-Accel-Buffering", "no"}}, Body: o.body}
}

func (a *Admin) trace(ctx context.Context, in *traceIn) (*traceOut, error) {
	f, err := a.filter(ctx, in)
	if err != nil {
		return nil, err
	}
	lines, stop := a.Trace.Subscribe(f)
	r := &lineReader{ctx: ctx, a: a, lines: lines, stop: stop, next: []byte(": watching\n\n")}
	select {
	case l, open := <-lines:
		if !open {
			return nil, errs.New(errs.Unavailable, "too many are watching already")
		}
		r.put(&l)
	default:
	}
	return &traceOut{r}, nil
}

func (a *Admin) filter(ctx context.Context, in *traceIn) (f Filter, err error) {
	f.Lane = in.Lane
	if f.Destination, err = destinationName(in.Destination); err != nil {
		return f, err
	}
	if in.Domain != "" {
		if f.Sender, err = dnsx.ASCIIName(in.Domain); err != nil {
			return f, errs.New(errs.Invalid, "%q is not a domain", in.Domain)
		}
	}
	if in.Message == "" {
		return f, nil
	}
	m, err := a.Messages.Lookup(ctx, "", in.Message)
	switch {
	case err == nil:
		f.Message = m.MessageID
	case errs.Is(err, errs.NotFound) && strings.Contains(in.Message, "@"): // it may be yet to come
		f.Message, err = strings.Trim(in.Message, "<>"), nil
	}
	return f, err
}

// traceBeat is how often a stream without lines says that it is alive, so that
// a client that left is noticed.
const traceBeat = 15 * time.Second

// lineReader is the stream of a trace. Read waits for the next line.
type lineReader struct {
	ctx   context.Context
	a     *Admin
	lines <-chan Line
	stop  func()
	next  []byte // not yet read
}

// Read implements io.Reader.
func (r *lineReader) Read(p []byte) (int, error) {
	if len(r.next) == 0 {
		if err := r.wait(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.next)
	r.next = r.next[n:]
	return n, nil
}

// Close implements io.Closer.
func (r *lineReader) Close() error {
	r.stop()
	return nil
}

// wait fetches the next line, and what else has come with it.
func (r *lineReader) wait() error {
	beat, stopBeat := r.a.Clock.After(traceBeat)
	defer stopBeat()
	select {
	case l, open := <-r.lines:
		if !open {
			return io.EOF
		}
		r.put(&l)
	case <-beat:
		r.next = append(r.next, ": still here\n\n"...)
	case <-r.ctx.Done():
		return io.EOF
	case <-r.a.Stopping:
		return io.EOF
	}
	for range traceBuffer {
		select {
		case l, open := <-r.lines:
			if !open {
				return nil
			}
			r.put(&l)
		default:
			return nil
		}
	}
	return nil
}

func (r *lineReader) put(l *Line) {
	text, err := json.Marshal(lineOf(l))
	if err != nil { // plain values always encode
		r.a.Logger.Error("trace: a line was left out", "error", err)
		return
	}
	r.next = append(append(append(r.next, "data: "...), text...), "\n\n"...)
}
