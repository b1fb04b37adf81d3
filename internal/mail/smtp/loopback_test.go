package smtp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestLoopback(t *testing.T) {
	serverTLS, clientTLS := certificate(t)
	for _, pipelining := range []bool{true, false} {
		for _, useTLS := range []bool{true, false} {
			t.Run(fmt.Sprintf("pipelining=%v,tls=%v", pipelining, useTLS), func(t *testing.T) {
				st := &store{}
				_, addr := serve(t, Config{Backend: st, TLS: serverTLS, RequireTLSForAuth: true, OfferRequireTLS: true})
				c := connect(t, addr, ClientOptions{Transcript: true})
				ctx := testContext(t)
				if useTLS {
					if err := c.StartTLS(ctx, clientTLS); err != nil {
						t.Fatal(err)
					}
					if err := c.Auth(ctx, "user", "pass word"); err != nil {
						t.Fatal(err)
					}
				}
				c.ext.Pipelining = pipelining
				for n := range 3 {
					env := Envelope{From: "a@example.com", To: []string{"b@example.com", "reject@example.com", "defer@example.com", "c@example.com"}, EightBit: true, RequireTLS: useTLS}
					res, err := c.Send(ctx, env, Message{[]byte("Subject: x\r\n\r"), []byte("\n.dot\r\n"), []byte("..\r\nend")})
					if err != nil {
						t.Fatal(n, err, EncodeTranscript(c.Transcript()))
					}
					var codes []int
					for i := range env.To {
						o := res.Outcome(i)
						codes = append(codes, o.Code)
					}
					if !slices.Equal(codes, []int{250, 550, 450, 250}) || res.Data.Text != "OK queued as q1" {
						t.Fatal(codes, res)
					}
				}
				if err := c.Quit(ctx); err != nil {
					t.Fatal(err)
				}
				got := st.messages()
				if len(got) != 3 {
					t.Fatal(got)
				}
				m := got[2]
				if m.body != "Subject: x\r\n\r\n.dot\r\n..\r\nend\r\n" || m.from != "a@example.com" || len(m.to) != 2 ||
					m.tls != useTLS || !m.opt.Body8Bit || m.opt.RequireTLS != useTLS || m.opt.Size != int64(len(m.body)) {
					t.Fatalf("%+v", m)
				}
				if useTLS && m.user != "user" {
					t.Fatalf("%+v", m)
				}
			})
		}
	}
}

// sink counts messages and forgets them.
type sink struct{}

type sinkSession struct{ storeSession }

func (s *sink) NewSession(Conn) (Session, error) { return &sinkSession{}, nil }

func (*sinkSession) Mail(context.Context, string, MailOptions) error { return nil }
func (*sinkSession) Rcpt(context.Context, string, RcptOptions) error { return nil }
func (*sinkSession) Reset()                                          {}
func (*sinkSession) Close()                                          {}
func (*sinkSession) Data(_ context.Context, r io.Reader) (string, error) {
	_, err := io.Copy(io.Discard, r)
	return "0123456789abcdef", err
}

func testMessage(size int) Message {
	head := []byte("From: a@example.com\r\nTo: b@example.com\r\nSubject: benchmark\r\n\r\n")
	line := strings.Repeat("x", 74) + "\r\n"
	return Message{head, bytes.Repeat([]byte(line), (size-len(head))/len(line))}
}
