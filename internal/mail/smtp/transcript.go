package smtp

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// Directions of a TranscriptLine.
const (
	FromClient = 'C'
	FromServer = 'S'
	Note       = '-'
)

// TranscriptLine is one line of a recorded dialogue. Secrets and message
// contents never stand in one.
type TranscriptLine struct {
	At   time.Duration // since the transcript began, in whole microseconds
	Dir  byte          // FromClient, FromServer or Note
	Text string        // the line without its line end
}

// defaultMaxTranscript is the text kept, in bytes, when nothing else is said.
const defaultMaxTranscript = 16 * 1024

// transcript collects lines up to a bound; a note marks the cut.
type transcript struct {
	on    bool
	now   func() time.Time
	start time.Time
	max   int
	size  int
	full  bool
	lines []TranscriptLine
	tap   func(dir byte, text string)
}

func (t *transcript) restart() {
	if t.on {
		t.start, t.size, t.full, t.lines = t.now(), 0, false, nil
	}
}

func (t *transcript) add(dir byte, text string) {
	if t.on && t.tap != nil {
		t.tap(dir, text)
	}
	if !t.on || t.full {
		return
	}
	at := t.now().Sub(t.start).Truncate(time.Microsecond)
	t.size += len(text) + 8 // so that empty lines count too
	if t.size > t.max {
		t.full = true
		dir, text = Note, "transcript cut here"
	}
	t.lines = append(t.lines, TranscriptLine{At: at, Dir: dir, Text: cleanText(text)})
}

func (t *transcript) server(line []byte) { t.add(FromServer, string(line)) }

// EncodeTranscript is the compact text form of a transcript: one line per line,
// "<microseconds> <direction> <text>", with backslash, CR and LF escaped.
func EncodeTranscript(lines []TranscriptLine) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(strconv.FormatInt(l.At.Microseconds(), 10))
		b.WriteByte(' ')
		b.WriteByte(l.Dir)
		b.WriteByte(' ')
		b.WriteString(escapeLine(l.Text))
		b.WriteByte('\n')
	}
	return b.String()
}

func escapeLine(s string) string {
	if !strings.ContainsAny(s, "\\\n\r") {
		return s
	}
	return strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`).Replace(s)
}

// ErrTranscript is returned by DecodeTranscript for text it did not write.
var ErrTranscript = errors.New("smtp: malformed transcript")

// DecodeTranscript is the inverse of EncodeTranscript.
func DecodeTranscript(s string) ([]TranscriptLine, error) {
	var lines []TranscriptLine
	unesc := strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r")
	for s != "" {
		line, rest, ok := strings.Cut(s, "\n")
		if !ok {
			return nil, ErrTranscript
		}
		at, text, ok := strings.Cut(line, " ")
		us, err := strconv.ParseInt(at, 10, 64)
		if !ok || err != nil || us > int64(1<<63-1)/1000 || us < -int64(1<<63-1)/1000 {
			return nil, ErrTranscript
		}
		if len(text) < 2 || text[1] != ' ' || !validDir(text[0]) {
			return nil, ErrTranscript
		}
		lines = append(lines, TranscriptLine{
			At: time.Duration(us) * time.Microsecond, Dir: text[0], Text: unesc.Replace(text[2:]),
		})
		s = rest
	}
	return lines, nil
}

func validDir(c byte) bool { return c == FromClient || c == FromServer || c == Note }
