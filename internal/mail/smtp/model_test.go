package smtp

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// model is the command state machine of RFC 5321 4.1.4 in its plainest form.
type model struct {
	helo, mail bool
	rcpts      []string
	accepted   []string // recipients of each accepted message
}

// commands of the random sequences, DATA with its message.
var modelCommands = []string{
	"EHLO c", "EHLO c", "HELO c", "EHLO", "MAIL FROM:<a@b>", "MAIL FROM:<a@b>", "MAIL FROM:<a@b>", "MAIL FROM:<bad@example.com>", "MAIL FROM:a@b", "RCPT TO:<%d@d>", "RCPT TO:<%d@d>", "RCPT TO:<%d@d>",
	"RCPT TO:<reject@d>", "RCPT TO:<d>", "DATA", "DATA", "DATA", "DATA x", "RSET", "NOOP", "VRFY x", "STARTTLS", "junk",
}

var modelMessages = []string{"ok\r\n.\r\n", "Subject: spam\r\n.\r\n", "a\nb\r\n.\r\n", "\r\n.\n" + smuggled + ".\r\n"}

// step returns the code that cmd must get, or 354 followed by the verdict.
func (m *model) step(cmd, msg string) []string {
	switch {
	case cmd == "EHLO":
		return []string{"501"}
	case strings.HasSuffix(cmd, "LO c"):
		m.helo, m.mail, m.rcpts = true, false, nil
		return []string{"250"}
	case cmd == "RSET":
		m.mail, m.rcpts = false, nil
		return []string{"250"}
	case strings.HasPrefix(cmd, "MAIL"):
		switch {
		case !m.helo || m.mail:
			return []string{"503"}
		case strings.Contains(cmd, "bad@"):
			return []string{"550"}
		case !strings.Contains(cmd, "<"):
			return []string{"501"}
		}
		m.mail = true
		return []string{"250"}
	case strings.HasPrefix(cmd, "RCPT"):
		switch {
		case !m.mail:
			return []string{"503"}
		case strings.Contains(cmd, "reject"):
			return []string{"550"}
		case !strings.Contains(cmd, "@"):
			return []string{"501"}
		}
		m.rcpts = append(m.rcpts, strings.Trim(cmd[8:], "<>"))
		return []string{"250"}
	case strings.HasPrefix(cmd, "DATA"):
		return m.data(cmd, msg)
	case cmd == "NOOP":
		return []string{"250"}
	case cmd == "VRFY x":
		return []string{"252"}
	case cmd == "STARTTLS":
		return []string{"502"}
	}
	return []string{"500"}
}

func (m *model) data(cmd, msg string) []string {
	mail, rcpts := m.mail, m.rcpts
	m.mail, m.rcpts = false, nil
	switch {
	case cmd != "DATA":
		return []string{"501"}
	case !mail:
		return []string{"503"}
	case len(rcpts) == 0:
		return []string{"554"}
	case strings.Contains(msg, "spam"):
		return []string{"354", "554"}
	case loneEnd(msg):
		return []string{"354", "550"}
	}
	m.accepted = append(m.accepted, fmt.Sprint(rcpts))
	return []string{"354", "250"}
}

// Random command sequences get the replies of the model, sent one by one or in
// batches, and exactly the messages of the model are stored.
func TestStateMachine(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	taken := 0
	for round := range 60 {
		st := &store{}
		_, addr := serve(t, Config{Backend: st, MaxErrors: 1000})
		r := rawDial(t, addr)
		r.expect("220")
		m := &model{}
		var batch strings.Builder
		var want, sent []string
		for i := range 120 {
			cmd, msg := modelCommands[rnd.IntN(len(modelCommands))], modelMessages[rnd.IntN(len(modelMessages))]
			if strings.Contains(cmd, "%d") {
				cmd = fmt.Sprintf(cmd, i)
			}
			codes := m.step(cmd, msg)
			want, sent = append(want, codes...), append(sent, cmd)
			batch.WriteString(cmd + "\r\n")
			if codes[0] == "354" {
				batch.WriteString(msg)
			}
			if i < 119 && round%2 == 0 && rnd.IntN(4) > 0 {
				continue
			}
			r.write(batch.String())
			for _, w := range want {
				if got := r.reply(); !strings.HasPrefix(got, w) {
					t.Fatalf("seed %d: got %q, want %v after %q", seed, got, want, sent)
				}
			}
			batch.Reset()
			want = nil
		}
		var got []string
		for _, msg := range st.messages() {
			got = append(got, fmt.Sprint(msg.to))
		}
		if fmt.Sprint(got) != fmt.Sprint(m.accepted) {
			t.Fatalf("seed %d: stored %v, want %v", seed, got, m.accepted)
		}
		taken += len(got)
	}
	if taken == 0 {
		t.Error("no message was ever accepted")
	}
}
