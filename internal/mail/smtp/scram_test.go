package smtp

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	xdg "github.com/xdg-go/scram"

	"postroad/internal/mail/scram"
)

// proving is a store whose sessions offer SCRAM.
type proving struct {
	store
	mechs    []string
	verifier scram.Verifier
	failed   atomic.Int64
}

type provingSession struct {
	storeSession
	p *proving
}

func newProving(t testing.TB, mechs ...string) *proving {
	t.Helper()
	v, err := scram.Derive("pass word", []byte("0123456789abcdef"), 4096)
	if err != nil {
		t.Fatal(err)
	}
	return &proving{mechs: mechs, verifier: v}
}

func (p *proving) NewSession(c Conn) (Session, error) {
	return &provingSession{storeSession{st: &p.store, conn: c}, p}, nil
}

func (s *provingSession) AuthMechanisms() []string { return s.p.mechs }

func (s *provingSession) Verifier(_ context.Context, user string) (scram.Verifier, error) {
	switch user {
	case "user":
		return s.p.verifier, nil
	case "blocked":
		return scram.Verifier{}, &Error{Code: 454, Enhanced: "4.7.0", Text: "too many"}
	}
	return scram.Verifier{Salt: []byte("decoy"), Iterations: 4096}, nil
}

// AuthSCRAM trusts the server to mind the proof, which it must not rely on.
func (s *provingSession) AuthSCRAM(_ context.Context, user string, proved bool) error {
	if s.user = user; !proved {
		s.user = ""
		s.p.failed.Add(1)
	}
	return nil
}

var allMechanisms = []string{Login, Plain, SCRAM, SCRAMPlus}

// prove runs an exchange with another implementation as the client.
func prove(t *testing.T, r *raw, mech, pass string, initial bool, begin func(*xdg.Client) *xdg.ClientConversation) string {
	t.Helper()
	c, err := xdg.SHA256.NewClient("user", pass, "")
	if err != nil {
		t.Fatal(err)
	}
	conv := begin(c)
	msg, err := conv.Step("")
	if err != nil {
		t.Fatal(err)
	}
	if line := "AUTH " + mech; initial {
		r.write(line + " " + base64.StdEncoding.EncodeToString([]byte(msg)) + "\r\n")
	} else {
		r.write(line + "\r\n")
		r.expect("334 ")
		r.write(base64.StdEncoding.EncodeToString([]byte(msg)) + "\r\n")
	}
	for {
		got := r.reply()
		challenge, ok := strings.CutPrefix(got, "334 ")
		if !ok {
			if conv.Valid() != strings.HasPrefix(got, "235") {
				t.Errorf("the client says %v, the server %q", conv.Valid(), got)
			}
			return got
		}
		text, err := base64.StdEncoding.DecodeString(challenge)
		if err != nil {
			t.Fatal(err)
		}
		if msg, err = conv.Step(string(text)); err != nil {
			t.Fatal(err)
		}
		r.write(base64.StdEncoding.EncodeToString([]byte(msg)) + "\r\n")
	}
}

func TestServerSCRAM(t *testing.T) {
	serverTLS, clientTLS := certificate(t)
	plain := (*xdg.Client).NewConversation
	for _, version := range []uint16{0, tls.VersionTLS12, tls.VersionTLS13} {
		p := newProving(t, allMechanisms...)
		_, addr := serve(t, Config{Backend: p, TLS: serverTLS, MaxErrors: 100})
		begin := func() *raw {
			r := rawDial(t, addr)
			r.write("EHLO c\r\n")
			r.expect("220")
			offer := r.reply()
			if version == 0 {
				if strings.Contains(offer, SCRAMPlus) || !strings.Contains(offer, "AUTH SCRAM-SHA-256 PLAIN LOGIN") {
					t.Error(offer)
				}
				return r
			}
			r.write("STARTTLS\r\n")
			r.expect("220")
			cfg := clientTLS.Clone()
			cfg.MinVersion, cfg.MaxVersion = version, version
			r.Conn = tls.Client(r.Conn, cfg)
			r.write("EHLO c\r\n")
			if offer = r.reply(); !strings.Contains(offer, "AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN") {
				t.Error(offer)
			}
			return r
		}
		name := tls.VersionName(version)
		for _, initial := range []bool{true, false} {
			r := begin()
			if got := prove(t, r, SCRAM, "wrong", initial, plain); !strings.HasPrefix(got, "535 5.7.8") {
				t.Error(name, got)
			}
			if got := prove(t, r, SCRAM, "pass word", initial, plain); !strings.HasPrefix(got, "235") {
				t.Error(name, got)
			}
			r.write("AUTH SCRAM-SHA-256\r\nMAIL FROM:<a@b>\r\nRCPT TO:<b@d>\r\nDATA\r\nx\r\n.\r\n")
			r.expect("503", "250", "250", "354", "250")
		}
		if got := p.messages(); len(got) != 2 || got[0].user != "user" || p.failed.Load() != 2 {
			t.Errorf("%s: %+v, %d failed", name, got, p.failed.Load())
		}
		if version == 0 {
			continue
		}
		for _, wrong := range []bool{false, true} {
			r := begin()
			state := r.Conn.(*tls.Conn).ConnectionState()
			got := prove(t, r, SCRAMPlus, "pass word", true, func(c *xdg.Client) *xdg.ClientConversation {
				cb := xdg.NewTLSUniqueBinding(state.TLSUnique)
				if version == tls.VersionTLS13 {
					var err error
					if cb, err = xdg.NewTLSExporterBinding(&state); err != nil {
						t.Fatal(err)
					}
				}
				if wrong { // as seen by somebody in the middle
					cb.Data = append([]byte("x"), cb.Data[1:]...)
				}
				return c.NewConversationWithChannelBinding(cb)
			})
			if strings.HasPrefix(got, "235") == wrong {
				t.Errorf("%s, other binding %v: %q", name, wrong, got)
			}
			// Somebody made the client believe that we cannot bind.
			if wrong {
				if got := prove(t, r, SCRAM, "pass word", true, (*xdg.Client).NewConversationAdvertisingChannelBinding); !strings.HasPrefix(got, "535") {
					t.Error(name, got)
				}
			}
		}
	}
}

func TestServerSCRAMErrors(t *testing.T) {
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	first := b64("n,,n=user,r=abc")
	p := newProving(t, allMechanisms...)
	_, addr := serve(t, Config{Backend: p, MaxErrors: 100})
	for name, d := range map[string][]dialogue{
		"cancel":         {{"AUTH SCRAM-SHA-256", "334"}, {"*", "501 5.7.0"}, {"NOOP", "250"}},
		"cancel later":   {{"AUTH SCRAM-SHA-256 " + first, "334"}, {"*", "501 5.7.0"}, {"NOOP", "250"}},
		"garbage":        {{"AUTH SCRAM-SHA-256 !", "501 5.5.2"}, {"AUTH SCRAM-SHA-256 =", "501 5.5.2"}, {"AUTH SCRAM-SHA-256 " + b64("n,,x"), "501 5.5.2"}},
		"garbage later":  {{"AUTH SCRAM-SHA-256 " + first, "334"}, {b64("c=biws,r=abc,p=AAAA"), "501 5.5.2"}},
		"unknown":        {{"AUTH SCRAM-SHA-256 " + b64("n,,n=nobody,r=abc"), "334"}, {"*", "501"}},
		"blocked":        {{"AUTH SCRAM-SHA-256 " + b64("n,,n=blocked,r=abc"), "454 4.7.0 too many"}},
		"plus in clear":  {{"AUTH SCRAM-SHA-256-PLUS " + first, "504 5.5.4"}},
		"CRAM-MD5":       {{"AUTH CRAM-MD5", "504 5.5.4"}},
		"other identity": {{"AUTH SCRAM-SHA-256 " + b64("n,a=root,n=user,r=abc"), "501"}},
	} {
		r := rawDial(t, addr)
		r.write("EHLO c\r\n")
		r.expect("220", "250")
		for _, s := range d {
			r.write(s.send + "\r\n")
			if got := r.reply(); !strings.HasPrefix(got, s.want) {
				t.Errorf("%s: %q: got %q, want %q", name, s.send, got, s.want)
			}
		}
	}
	// The backend has the last word on what is offered, and must be able to.
	for want, b := range map[string]Backend{
		"[SCRAM-SHA-256 LOGIN]": newProving(t, SCRAM, Login),
		"[PLAIN]":               newProving(t, Plain, "CRAM-MD5"),
		"[]":                    newProving(t),
	} {
		_, addr := serve(t, Config{Backend: b})
		if got := fmt.Sprint(connect(t, addr, ClientOptions{}).Extensions().Auth); got != want {
			t.Errorf("offered %s, want %s", got, want)
		}
	}
	_, addr = serve(t, Config{Backend: &picky{mechs: []string{SCRAM}}})
	r := rawDial(t, addr)
	r.write("EHLO c\r\nAUTH SCRAM-SHA-256 " + first + "\r\n")
	r.expect("220", "250", "454 4.7.0")
}
