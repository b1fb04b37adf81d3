package smtp

import (
	"bufio"
	"bytes"
)

// stuffer writes a message in the form DATA wants (RFC 5321 4.5.2): lines end
// with CRLF whatever they ended with before, and a dot that begins a line is
// doubled. The pieces of a message may be cut anywhere. Errors stay in the
// bufio.Writer until Flush.
type stuffer struct {
	w   *bufio.Writer
	mid bool // inside a line: at least one octet of it was written
	cr  bool // the last piece ended with a CR that is held back
	n   int  // octets of the message, line ends normalised, dots not doubled
}

const crlf = "\r\n"

func (s *stuffer) lineEnd() {
	_, _ = s.w.WriteString(crlf) // sticky error, see Flush
	s.mid = false
	s.n += 2
}

func (s *stuffer) run(p []byte) {
	_, _ = s.w.Write(p) // sticky error, see Flush
	s.n += len(p)
}

// write adds a piece. Runs that need no change are copied whole. The position
// of the next LF is kept while CRs are looked for before it, so that the cost is
// linear for any mix of the two.
func (s *stuffer) write(p []byte) {
	if len(p) == 0 {
		return
	}
	i := 0
	if s.cr {
		s.cr = false
		s.lineEnd()
		if p[0] == '\n' {
			i = 1
		}
	}
	start, lf := i, -1
	for i < len(p) {
		if !s.mid && p[i] == '.' {
			s.run(p[start:i])
			_ = s.w.WriteByte('.') // sticky error, see Flush
			start = i
		}
		if lf < i {
			if lf = bytes.IndexByte(p[i:], '\n'); lf < 0 {
				lf = len(p)
			} else {
				lf += i
			}
		}
		cr := bytes.IndexByte(p[i:lf], '\r')
		if cr >= 0 {
			cr += i
		}
		switch {
		case cr >= 0 && cr+1 == len(p): // perhaps half of a CRLF
			s.run(p[start:cr])
			s.cr = true
			return
		case cr >= 0 && cr+1 == lf: // CRLF
			i, s.mid = lf+1, false
		case cr >= 0: // bare CR
			s.run(p[start:cr])
			s.lineEnd()
			i, start = cr+1, cr+1
		case lf < len(p): // bare LF
			s.run(p[start:lf])
			s.lineEnd()
			i, start = lf+1, lf+1
		default:
			i, s.mid = len(p), true
		}
	}
	s.run(p[start:])
}

// end completes the last line and writes the final dot.
func (s *stuffer) end() {
	if s.cr || s.mid {
		s.cr = false
		s.lineEnd()
	}
	_, _ = s.w.WriteString(".\r\n") // sticky error, see Flush
}
