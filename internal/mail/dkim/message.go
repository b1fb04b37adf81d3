package dkim

import (
	"bytes"
	"errors"
)

// maxHeaderBytes bounds the work for one header; no server takes one of this size.
const maxHeaderBytes = 1 << 20

// Errors of the message given to Sign.
var (
	// ErrNoFrom: the header has no From field, which RFC 6376, section 5.4,
	// demands to be signed.
	ErrNoFrom = errors.New("dkim: message has no From field")
	// ErrHeaderSyntax: the header holds a bare CR or LF, or a line that is
	// neither a field nor the continuation of one.
	ErrHeaderSyntax = errors.New("dkim: malformed message header")
	// ErrHeaderTooLarge: the header is longer than 1 MiB.
	ErrHeaderTooLarge = errors.New("dkim: message header is too large")
)

var (
	crlf      = []byte("\r\n")
	headerEnd = []byte("\r\n\r\n")
)

// boundary tells where the body of a message starts: at offset in the piece,
// which is len(pieces) if there is no body.
type boundary struct{ piece, offset int }

// findBody looks for the empty line that ends the header, which may lie across
// pieces.
func findBody(pieces [][]byte) boundary {
	tail := [3]byte{0, '\r', '\n'} // the last bytes before the piece, a line end before the first
	for i, p := range pieces {
		var join [6]byte
		n := copy(join[:], tail[:])
		n += copy(join[n:], p)
		if j := bytes.Index(join[:n], headerEnd); j >= 0 {
			return boundary{i, j + len(headerEnd) - len(tail)}
		}
		if j := bytes.Index(p, headerEnd); j >= 0 {
			return boundary{i, j + len(headerEnd)}
		}
		if len(p) >= len(tail) {
			copy(tail[:], p[len(p)-len(tail):])
			continue
		}
		copy(tail[:], join[n-len(tail):n])
	}
	return boundary{piece: len(pieces)}
}

// gatherHeader returns the header as one slice: in place if it lies in one piece, else
// gathered in scratch, which is returned for further use.
func gatherHeader(pieces [][]byte, end boundary, scratch []byte) (header, buf []byte, err error) {
	if end.piece == 0 && len(pieces) > 0 {
		header = pieces[0][:end.offset]
		if len(header) > maxHeaderBytes {
			return nil, scratch, ErrHeaderTooLarge
		}
		return header, scratch, nil
	}
	buf = scratch[:0]
	for i, p := range pieces {
		if i > end.piece {
			break
		}
		if i == end.piece {
			p = p[:end.offset]
		}
		if len(buf)+len(p) > maxHeaderBytes {
			return nil, buf, ErrHeaderTooLarge
		}
		buf = append(buf, p...)
	}
	return buf, buf, nil
}

// hashBody feeds what comes after the header to h.
func hashBody(h *bodyHasher, pieces [][]byte, start boundary) {
	for i := start.piece; i < len(pieces); i++ {
		p := pieces[i]
		if i == start.piece {
			p = p[start.offset:]
		}
		h.write(p)
	}
}

// field is one header field: name without white space, raw with all its lines
// but without the last CRLF.
type field struct{ name, raw []byte }

// appendFields splits a header into fields.
func appendFields(dst []field, header []byte) ([]field, error) {
	for len(header) > 0 {
		line, rest := cutLine(header)
		if bytes.IndexByte(line, '\r') >= 0 || bytes.IndexByte(line, '\n') >= 0 {
			return dst, ErrHeaderSyntax
		}
		if len(line) == 0 {
			return dst, nil
		}
		if line[0] == ' ' || line[0] == '\t' {
			if len(dst) == 0 {
				return dst, ErrHeaderSyntax
			}
			// Fields are slices of one array, so the one before is extended in place.
			last := &dst[len(dst)-1]
			last.raw = last.raw[:len(last.raw)+len(crlf)+len(line)]
			header = rest
			continue
		}
		name, ok := fieldName(line)
		if !ok {
			return dst, ErrHeaderSyntax
		}
		dst = append(dst, field{name: name, raw: line})
		header = rest
	}
	return dst, nil
}

func cutLine(p []byte) (line, rest []byte) {
	i := bytes.Index(p, crlf)
	if i < 0 {
		return p, nil
	}
	return p[:i], p[i+len(crlf):]
}

// fieldName returns the name of a field (RFC 5322, section 2.2); white space
// before the colon is obsolete but legal (section 4.5).
func fieldName(line []byte) ([]byte, bool) {
	i := bytes.IndexByte(line, ':')
	if i < 0 {
		return nil, false
	}
	name := bytes.TrimRight(line[:i], " \t")
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return nil, false
		}
	}
	return name, len(name) > 0
}
