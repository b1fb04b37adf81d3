//go:build linux

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/smtp"
	"net/textproto"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// load sends messages until its context ends, over HTTP and SMTP connections
// that are kept. Each message has an id of its own and is tried once, so that
// what is not answered may have been taken or not.
type load struct {
	server   *server
	ack      func(rig string)
	http     int // connections
	smtp     int // connections that log in
	outside  int // connections that deliver to the server's own domain without a login
	size     int // of the text in bytes
	to       func(n int) string
	interval time.Duration // between the messages of a connection
	deadline time.Duration // for an answer; 0: 30 s

	// half is told when half of a message from outside is sent, unless nil.
	half func()

	next    *atomic.Int64 // number of the next message, shared by loads
	mu      sync.Mutex
	answers map[int]int // HTTP statuses and SMTP codes; 0 for a broken connection
	texts   map[string]int
}

func newLoad(s *server, ack func(string), next *atomic.Int64) *load {
	return &load{server: s, ack: ack, http: 24, size: 2048, next: next, answers: map[int]int{}, texts: map[string]int{},
		to: func(n int) string { return fmt.Sprintf("user%d@sink.example", n) }}
}

func (l *load) answered(code int, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers[code]++
	if code != http.StatusOK && code != 250 && len(l.texts) < 20 {
		l.texts[fmt.Sprint(code, " ", text[:min(len(text), 160)])]++
	}
}

// count is how often the codes were the answer.
func (l *load) count(codes ...int) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range codes {
		n += l.answers[c]
	}
	return n
}

// other lists answers that are not among the codes.
func (l *load) other(codes ...int) (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for t := range l.texts {
		var c int
		fmt.Sscan(t, &c)
		expected := false
		for _, code := range codes {
			expected = expected || c == code
		}
		if !expected {
			out = append(out, t)
		}
	}
	return out
}

// run sends until ctx ends and every connection has left.
func (l *load) run(ctx context.Context) {
	var wg sync.WaitGroup
	text := body(l.size)
	for range l.http {
		wg.Go(func() { l.overHTTP(ctx, text) })
	}
	for range l.smtp {
		wg.Go(func() { l.overSMTP(ctx, text, true) })
	}
	for range l.outside {
		wg.Go(func() { l.overSMTP(ctx, text, false) })
	}
	wg.Wait()
}

// body is a text of n bytes in lines of a length that needs no encoding.
func body(n int) string {
	const line = "The quick brown fox jumps over the lazy dog, 0123456789 times in a row.\r\n"
	return strings.Repeat(line, n/len(line)+1)[:n-2] + "\r\n"
}

func rigID(n int64) string { return fmt.Sprintf("rig-%d", n) }

func (l *load) patience() time.Duration {
	if l.deadline > 0 {
		return l.deadline
	}
	return 30 * time.Second
}

func (l *load) overHTTP(ctx context.Context, text string) {
	client := &http.Client{Timeout: l.patience(), Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		n := l.next.Add(1)
		code, why := l.post(ctx, client, n, text)
		if ctx.Err() != nil && code == 0 {
			return
		}
		l.answered(code, why)
		wait := l.interval
		if code != http.StatusOK {
			wait = max(wait, 20*time.Millisecond)
		}
		if wait > 0 && pause(ctx, wait) != nil {
			return
		}
	}
}

// post sends message n; the code is 0 if there was no whole answer.
func (l *load) post(ctx context.Context, client *http.Client, n int64, text string) (int, string) {
	form := url.Values{"from": {"Rig <rig@" + sender + ">"}, "to": {l.to(int(n))}, "subject": {"A message of the rig"}, "text": {text},
		"h:" + rigHeader: {rigID(n)}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+l.server.http+"/v3/"+sender+"/messages", strings.NewReader(form.Encode()))
	if err != nil {
		return 0, err.Error()
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("api", adminKey)
	answer, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if answer.StatusCode == http.StatusOK { // the status is the promise, whatever became of the body
		l.ack(rigID(n))
	} else if err != nil {
		return 0, err.Error()
	}
	return answer.StatusCode, strings.TrimSpace(string(b))
}

func (l *load) overSMTP(ctx context.Context, text string, own bool) {
	for ctx.Err() == nil {
		err := l.session(ctx, text, own)
		if ctx.Err() != nil {
			return
		}
		var refused *textproto.Error
		if errors.As(err, &refused) {
			l.answered(refused.Code, refused.Msg)
		} else if err != nil {
			l.answered(0, err.Error())
		}
		if pause(ctx, 30*time.Millisecond) != nil {
			return
		}
	}
}

// session logs in, unless it is one from outside, and sends until something fails.
func (l *load) session(ctx context.Context, text string, own bool) error {
	d := net.Dialer{Timeout: 5 * time.Second}
	conn, err := d.DialContext(ctx, "tcp", l.server.smtp)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(l.patience()))
	c, err := smtp.NewClient(conn, "127.0.0.1")
	if err != nil {
		return err
	}
	if err := c.StartTLS(&tls.Config{InsecureSkipVerify: true}); err != nil {
		return err
	}
	if own {
		if err := c.Auth(smtp.PlainAuth("", login, password, "127.0.0.1")); err != nil {
			return err
		}
	}
	for ctx.Err() == nil {
		conn.SetDeadline(time.Now().Add(l.patience()))
		if err := l.submit(c, l.next.Add(1), text, own); err != nil {
			return err
		}
		if l.interval > 0 && pause(ctx, l.interval) != nil {
			break
		}
	}
	return nil
}

// outsideID is the Message-Id of message n from outside.
func outsideID(rig string) string { return rig + "@elsewhere.example" }

func (l *load) submit(c *smtp.Client, n int64, text string, own bool) error {
	from, to, field := "rig@"+sender, l.to(int(n)), ""
	if !own {
		from, to = "rig@elsewhere.example", fmt.Sprintf("box%d@%s", n, sender)
		field = "Message-Id: <" + outsideID(rigID(n)) + ">\r\n"
	}
	if err := c.Mail(from); err != nil {
		return err
	}
	if err := c.Rcpt(to); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "From: Rig <%s>\r\nTo: %s\r\nSubject: A message of the rig\r\n%s%s: %s\r\n\r\n%s", from, to, field, rigHeader, rigID(n), text[:len(text)/2])
	if err != nil {
		return err
	}
	if l.half != nil {
		if err := c.Text.W.Flush(); err != nil {
			return err
		}
		l.half()
	}
	if _, err := io.WriteString(w, text[len(text)/2:]); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	l.ack(rigID(n))
	l.answered(250, "")
	return nil
}

// selfSigned writes a certificate for the loopback address and its key.
func selfSigned(cert, key string) error {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "rig"}, NotBefore: time.Unix(0, 0),
		NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, t, t, k.Public(), k)
	if err != nil {
		return err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600))
}
