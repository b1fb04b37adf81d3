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
	chunks     bool     // some were taken
	body       string   // of them
	accepted   []string // recipients and text of each accepted message
}

// reset ends the transaction.
func (m *model) reset() { m.mail, m.rcpts, m.chunks, m.body = false, nil, false, "" }

// commands of the random sequences, DATA with its message.
var modelCommands = []string{
	"EHLO c", "EHLO c", "HELO c", "EHLO", "MAIL FROM:<a@b>", "MAIL FROM:<a@b>", "MAIL FROM:<a@b>", "MAIL FROM:<bad@example.com>", "MAIL FROM:a@b", "RCPT TO:<%d@d>", "RCPT TO:<%d@d>", "RCPT TO:<%d@d>",
	"RCPT TO:<reject@d>", "RCPT TO:<d>", "DATA", "DATA", "DATA", "DATA x", "RSET", "NOOP", "VRFY x", "STARTTLS", "junk",
	"BDAT", "BDAT", "BDAT", "BDAT", "BDAT LAST", "BDAT LAST", "BDAT LAST",
}

// modelChunks are pieces of messages, cut where it hurts.
var modelChunks = []string{"ok\r\n", "half", "half\r", "\nrest\r\n", "\r\n.\r\n" + smuggled, ".\r\n", "", "a\nb", "a\rb", "Subject: spam\r\n", "\x00", "MAIL FROM:<x@y>\r\n"}

var modelMessages = []string{"data\r\n.\r\n", "ok\r\n.\r\n", "Subject: spam\r\n.\r\n", "a\nb\r\n.\r\n", "\r\n.\n" + smuggled + ".\r\n"}

// between reports whether cmd ends a message of which more chunks are to come,
// with 503 if it has no other answer.
func (m *model) between(cmd string) bool {
	if !m.chunks || strings.HasPrefix(cmd, "BDAT") || cmd == "NOOP" {
		return false
	}
	m.reset()
	return cmd != "RSET" && !strings.HasPrefix(cmd, "EHLO") && !strings.HasPrefix(cmd, "HELO")
}

// step returns the code that cmd must get, or 354 followed by the verdict.
func (m *model) step(cmd, msg string) []string {
	if m.between(cmd) {
		return []string{"503"}
	}
	switch {
	case strings.HasPrefix(cmd, "BDAT"):
		return []string{m.chunk(msg, strings.HasSuffix(cmd, "LAST"))}
	case cmd == "EHLO":
		return []string{"501"}
	case strings.HasSuffix(cmd, "LO c"):
		m.helo = true
		m.reset()
		return []string{"250"}
	case cmd == "RSET":
		m.reset()
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
	m.reset()
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
	m.accepted = append(m.accepted, fmt.Sprintf("%v %q", rcpts, strings.TrimSuffix(msg, ".\r\n")))
	return []string{"354", "250"}
}

func (m *model) chunk(piece string, last bool) string {
	switch {
	case !m.mail:
		m.reset()
		return "503"
	case len(m.rcpts) == 0:
		m.reset()
		return "554"
	}
	m.body, m.chunks = m.body+piece, true
	whole := m.body
	if !last {
		whole = strings.TrimSuffix(whole, "\r") // the LF may be in the next
	}
	switch {
	case loneEnd(whole), strings.Contains(whole, "\x00"):
		m.reset()
		return "550"
	case !last:
		return "250"
	}
	body, rcpts := m.body, m.rcpts
	m.reset()
	if strings.HasPrefix(body, "Subject: spam") {
		return "554"
	}
	m.accepted = append(m.accepted, fmt.Sprintf("%v %q", rcpts, normalise(body)))
	return "250"
}

// Random command sequences get the replies of the model, sent one by one or in
// batches, and exactly the messages of the model are stored.
func TestStateMachine(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	taken := 0
	for round := range 60 {
		st := &store{}
		_, addr := serve(t, Config{Backend: st, MaxErrors: 1000, MaxFutile: 1000})
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
			if strings.HasPrefix(cmd, "BDAT") {
				msg = modelChunks[rnd.IntN(len(modelChunks))]
			}
			codes := m.step(cmd, msg)
			if rest, ok := strings.CutPrefix(cmd, "BDAT"); ok {
				cmd = fmt.Sprintf("BDAT %d%s\r\n%s", len(msg), rest, msg)
				batch.WriteString(cmd)
			} else {
				batch.WriteString(cmd + "\r\n")
			}
			want, sent = append(want, codes...), append(sent, cmd)
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
			got = append(got, fmt.Sprintf("%v %q", msg.to, msg.body))
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
