package httpapi

import (
	"bufio"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"mime/multipart"
	"slices"
	"strings"
	"testing"
)

// seenPart is what a reader makes of one part, of which at most some octets
// were read.
type seenPart struct{ disposition, contentType, value, err string }

func readPart(p part, most int64) seenPart {
	b, err := io.ReadAll(io.LimitReader(p.body, most))
	return seenPart{p.disposition, p.contentType, string(b), errText(err)}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// brokenOff ends in an error that is not io.EOF.
type brokenOff struct{ drip }

var errBrokenOff = errors.New("connection broke off")

func (b *brokenOff) Read(p []byte) (int, error) {
	n, err := b.drip.Read(p)
	if err == io.EOF {
		err = errBrokenOff
	}
	return n, err
}

// checkParts compares parts with mime/multipart on the same body.
func checkParts(t *testing.T, raw string, step, buffer int, most int64, broken bool) {
	t.Helper()
	source := func() io.Reader {
		if broken {
			return &brokenOff{drip{raw, step}}
		}
		return &drip{raw, step}
	}
	var got, want []seenPart
	var gotEnd, wantEnd error
	for own := newParts(bufio.NewReaderSize(source(), buffer), "B"); gotEnd == nil; {
		var p part
		if p, gotEnd = own.next(); gotEnd == nil {
			got = append(got, readPart(p, most))
		}
	}
	for std := multipart.NewReader(source(), "B"); wantEnd == nil; {
		var p *multipart.Part
		if p, wantEnd = std.NextPart(); wantEnd == nil {
			want = append(want, readPart(part{p.Header.Get("Content-Disposition"), p.Header.Get("Content-Type"), p}, most))
		}
	}
	if !slices.Equal(got, want) || errText(gotEnd) != errText(wantEnd) || (gotEnd == io.EOF) != (wantEnd == io.EOF) {
		t.Fatalf("%q (%d at once, %d read):\ngot  %q %v\nwant %q %v", raw, step, most, got, gotEnd, want, wantEnd)
	}
}

// partPieces make bodies that are nearly right.
var partPieces = []string{
	"--B\r\n", "\r\n--B\r\n", "\r\n--B\r\n", "\r\n--B\r\n", "\r\n--B--", "--\r\n", "\r\n--B--\r\n", "--B", "--", "-", " ", "\t", "\r\n", "\r", "\n", "\n--B\n",
	"Content-Disposition: form-data; name=\"a\"\r\n\r\n", "Content-Disposition: form-data; name=\"a\"\r\n\r\n", "Content-Disposition: form-data; name=\"a\"\r\n\r\n",
	"Content-Disposition: form-data; name=\"a\"; filename=\"f\"\r\nContent-Type: text/plain\r\n\r\n", "content-disposition: form-data; name=b\r\n\r\n",
	"Content-Disposition: form-data; name=\"a\"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n", "Content-Disposition", "value", "B", "=\r\n",
	strings.Repeat("v", 90), strings.Repeat("w\r\n", 2000),
}

func TestPartsAreThoseOfMIMEMultipart(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 15000 {
		var b strings.Builder
		if r.IntN(8) > 0 {
			b.WriteString("--B\r\nContent-Disposition: form-data; name=\"to\"\r\n\r\n")
		}
		for range r.IntN(10) {
			b.WriteString(partPieces[r.IntN(len(partPieces))])
		}
		if r.IntN(2) == 0 {
			b.WriteString("\r\n--B--\r\n")
		}
		steps := []int{1, 3, 100, 5000, 20000}
		checkParts(t, b.String(), steps[r.IntN(len(steps))], []int{64, 4096, bufferBytes}[r.IntN(3)], []int64{0, 1, math.MaxInt32, math.MaxInt32}[r.IntN(4)], r.IntN(8) == 0)
	}
}

// What nearly all clients send is read in place.
func TestPlainPartsAreReadInPlace(t *testing.T) {
	_, body := multi(t, "from", "a@b.c", "text", strings.Repeat("line\r\n", 10000), "empty", "", "o:tag", "x")
	line, _, _ := strings.Cut(body, "\r\n")
	p := newParts(bufio.NewReaderSize(strings.NewReader(body), bufferBytes), line[2:])
	n := 0
	for {
		one, err := p.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, one.body); err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 4 || p.std != nil {
		t.Errorf("%d parts, mime/multipart used: %t", n, p.std != nil)
	}
}

func FuzzParts(f *testing.F) {
	head := "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n"
	for _, s := range []string{"", head, head + "x\r\n--B--\r\n", head + "x\r\n--B\r\n\r\ny\r\n--B--", head + "--B\r\n", head + "\r\n--B--", head + "x\r\n--BB\r\n--B--x",
		head + "x\r\n--B \r\n\r\n", head + "\r\n--B-\r\n--B-- \r\n", "x\r\n" + head} {
		f.Add(s, 1, int64(1))
		f.Add(s, 50, int64(1000))
	}
	f.Fuzz(func(t *testing.T, raw string, step int, most int64) {
		checkParts(t, raw, 1+(step&math.MaxInt)%64, 64, most, step&1 == 1)
	})
}
