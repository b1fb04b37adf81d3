package spam

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strconv"
	"strings"
	"time"

	"postroad/internal/base/clock"
)

// spamd speaks SPAMC with SpamAssassin's daemon (spamd/PROTOCOL in its
// distribution), one message per connection.
type spamd struct {
	network, address, hostname string
	clock                      clock.Clock
}

func (s *spamd) check(ctx context.Context, m *Mail, raw []byte) (*Verdict, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, s.network, s.address)
	if err != nil {
		return nil, fmt.Errorf("spamd: %w", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	session := s.session(m)
	request := fmt.Sprintf("SYMBOLS SPAMC/1.5\r\nContent-length: %d\r\n\r\n", len(session)+len(raw))
	out := net.Buffers{[]byte(request), session, raw}
	if _, err := out.WriteTo(conn); err != nil {
		return nil, failure(ctx, err)
	}
	if half, ok := conn.(interface{ CloseWrite() error }); ok { // as spamc does
		if err := half.CloseWrite(); err != nil {
			return nil, failure(ctx, err)
		}
	}
	answer, err := io.ReadAll(io.LimitReader(conn, maxReply+1))
	if err != nil {
		return nil, failure(ctx, err)
	}
	return parseSpamd(answer)
}

// failure prefers the time-out to what it did to the connection.
func failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return fmt.Errorf("spamd: %w", err)
}

// session tells spamd of the session the way it reads one: by the fields a mail
// server in front of it would have added.
func (s *spamd) session(m *Mail) []byte {
	var b bytes.Buffer
	if m.ClientIP.IsValid() {
		ip := m.ClientIP.Unmap()
		literal := ip.WithZone("").String()
		if ip.Is6() {
			literal = "IPv6:" + literal
		}
		with := "ESMTP"
		if m.User != "" {
			with = "ESMTPA"
		}
		fmt.Fprintf(&b, "Received: from %s (%s [%s])\r\n\tby %s (Postroad) with %s id 0;\r\n\t%s\r\n", word(m.HELO), word(m.ClientName), literal,
			word(s.hostname), with, s.clock.Now().UTC().Format(time.RFC1123Z))
	}
	fmt.Fprintf(&b, "X-Envelope-From: <%s>\r\n", strings.Trim(clean(m.Sender), "<>"))
	return b.Bytes()
}

// word makes a name from outside one word of a Received field, which cannot end
// what it stands in.
func word(s string) string {
	if s == "" {
		return "unknown"
	}
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>;,"\`, r) {
			return '?'
		}
		return r
	}, clean(s))
}

// parseSpamd reads the answer to SYMBOLS:
//
//	SPAMD/1.1 0 EX_OK
//	Content-length: 11
//	Spam: True ; 1004.2 / 5.0
//
//	GTUBE,OTHER
func parseSpamd(answer []byte) (*Verdict, error) {
	if len(answer) > maxReply {
		return nil, errors.New("spamd: answer is too long")
	}
	header, body, ok := bytes.Cut(answer, []byte("\r\n\r\n"))
	first, fields, _ := strings.Cut(string(header), "\r\n")
	status := strings.SplitN(first, " ", 3)
	switch {
	case len(status) < 2 || !strings.HasPrefix(status[0], "SPAMD/"):
		return nil, errors.New("spamd: no answer in its protocol")
	case status[1] != "0":
		return nil, fmt.Errorf("spamd: %s", clean(first))
	case !ok:
		return nil, errors.New("spamd: answer breaks off")
	}
	var v *Verdict
	for line := range strings.SplitSeq(fields, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		var err error
		switch strings.ToLower(name) {
		case "content-length":
			if n, bad := strconv.Atoi(value); bad != nil || n > len(body) {
				err = errors.New("spamd: answer breaks off")
			}
		case "spam":
			v, err = spamLine(value)
		}
		if err != nil {
			return nil, err
		}
	}
	if v == nil {
		return nil, errors.New("spamd: answer without a verdict")
	}
	v.Symbols = symbolNames(string(body))
	return v, nil
}

// spamLine reads "True ; 1004.2 / 5.0".
func spamLine(s string) (*Verdict, error) {
	flag, numbers, _ := strings.Cut(s, ";")
	score, required, _ := strings.Cut(numbers, "/")
	flag = strings.ToLower(strings.TrimSpace(flag))
	v := &Verdict{Spam: flag == "true" || flag == "yes"}
	var err, err2 error
	v.Score, err = strconv.ParseFloat(strings.TrimSpace(score), 64)
	v.Required, err2 = strconv.ParseFloat(strings.TrimSpace(required), 64)
	if err != nil || err2 != nil || math.IsNaN(v.Score+v.Required) || math.IsInf(v.Score, 0) || !v.Spam && flag != "false" && flag != "no" {
		return nil, fmt.Errorf("spamd: verdict %q is not understood", clean(s))
	}
	return v, nil
}

func symbolNames(list string) (out []Symbol) {
	for name := range strings.SplitSeq(list, ",") {
		if name = clean(strings.TrimSpace(name)); name != "" && len(out) < maxSymbols {
			out = append(out, Symbol{Name: name})
		}
	}
	return out
}
