package suppress

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"postroad/internal/base/errs"
)

// readAll reads a table to its end as "line: a|b" or "line! what is wrong".
func readAll(t testing.TB, tab *table) (out []string) {
	t.Helper()
	for {
		l, err := tab.next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if l.err != nil {
			out = append(out, fmt.Sprintf("%d! %s", l.number, l.err.Public))
			continue
		}
		out = append(out, fmt.Sprintf("%d: %s", l.number, strings.Join(l.fields, "|")))
	}
}

func TestTable(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	for _, tt := range []struct {
		name, file string
		want       []string
	}{
		{"empty", "", nil},
		{"blank lines", "\n \r\n\t\n", nil},
		{"plain", "a,b\nc,d\n", []string{"1: a|b", "2: c|d"}},
		{"no last line end", "a,b\nc,d", []string{"1: a|b", "2: c|d"}},
		{"CRLF and blanks", " a , b \r\n\r\nc,\r\n", []string{"1: a|b", "3: c|"}},
		{"quoted", "\"a\"\"x\", \"b,\nc\" ,d\r\ne\n", []string{"1: a\"x|b,\nc|d", "3: e"}},
		{"quoted at the end", `a,"b"`, []string{"1: a|b"}},
		{"rows without values", ",,\r\na,\r\n , \r\n\"\",\"\"\n", []string{"2: a|"}},
		{"stray mark", "a\"b,c\nd\n", []string{"1! a quotation mark stands inside a field that does not begin with one", "2: d"}},
		{"text after", "\"a\"b,c\nd\n", []string{"1! text follows the closing quotation mark of a field", "2: d"}},
		{"not closed", "a,\"b\nc,d\ne\n", []string{"1! a quotation mark is not closed", "2: c|d", "3: e"}},
		{"too long", "a\n" + long + long + long + "\nb\n", []string{"1: a", "2! the line is longer than 65536 bytes", "3: b"}},
		{"longest", long[1:] + "\nb\n", []string{"1: " + long[1:], "2: b"}},
		{"too long at the end", long + "x", []string{"1! the line is longer than 65536 bytes"}},
		{"not UTF-8", "a\xff\nb\n", []string{"1! the line is not UTF-8", "2: b"}},
		{"NUL", "a\x00\nb\n", []string{"1! the line holds a NUL byte", "2: b"}},
	} {
		for name, in := range map[string]io.Reader{"": strings.NewReader(tt.file), " in bytes": iotest.OneByteReader(strings.NewReader(tt.file))} {
			tab := newTable(in, ',', 1, 0)
			if got := readAll(t, tab); !slices.Equal(got, tt.want) {
				t.Errorf("%s%s: %.300q, want %.300q", tt.name, name, got, tt.want)
			}
			if tab.done != int64(len(tt.file)) {
				t.Errorf("%s%s: %d of %d bytes", tt.name, name, tab.done, len(tt.file))
			}
		}
	}
}

// A body that breaks off is not the end of a file.
func TestTableBreaksOff(t *testing.T) {
	broken := errors.New("broken")
	tab := newTable(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(broken)), ',', 1, 0)
	if _, err := tab.next(); err != broken {
		t.Errorf("%v", err)
	}
}

func TestHeader(t *testing.T) {
	for _, tt := range []struct {
		kind       Kind
		file, hint string
	}{
		{Bounces, "address,code,error,created_at\n", ""},
		{Bounces, "\ufeffaddress\r\n", ""},
		{Bounces, "Error;CREATED_AT;x;Code;Address\n", ""},
		{Bounces, "\"address\"\tcode", ""},
		{Bounces, "email,code\n", "the first line must name a column address"},
		{Bounces, "a@example.com\n", "the first line must name a column address"},
		{Bounces, "address,code,Address\n", "two columns are named Address"},
		{Complaints, "", "the file is empty"},
		{Complaints, "\"address\n", "a quotation mark is not closed"},
		{Complaints, "\xff\xfea\x00d\x00", "the line is not UTF-8"},
		{Complaints, strings.Repeat("address,", 10_000), "the line is longer than 65536 bytes"},
		{Allowlist, "domain\n", ""},
		{Allowlist, "reason\n", "the first line must name a column address or domain"},
		{Unsubscribes, "domain,tags\n", "the first line must name a column address"},
	} {
		_, err := header(newTable(strings.NewReader(tt.file), ',', 1, 0), tt.kind)
		hint := ""
		var e *errs.Error
		if errors.As(err, &e) {
			if hint = e.Hint; e.Public != "while reading csv header" {
				t.Errorf("%.40q: %s", tt.file, e.Public)
			}
		}
		if hint != tt.hint {
			t.Errorf("%.40q: %q, want %q", tt.file, hint, tt.hint)
		}
	}
}

func TestRows(t *testing.T) {
	at := time.Date(2011, 10, 21, 11, 2, 55, 0, time.UTC).UnixMicro()
	for _, tt := range []struct {
		kind Kind
		file string
		want []Entry
		err  string
	}{
		{Bounces, "address\na@example.com", []Entry{{Address: "a@example.com", Code: "550"}}, ""},
		{Bounces, "created_at;error;code;address\n\"Fri, 21 Oct 2011 11:02:55 UTC\";no;551;a@example.com;more", []Entry{{Address: "a@example.com", Code: "551", Reason: "no", CreatedAt: at}}, ""},
		{Bounces, "address,createdAt\na@example.com,2011-10-21T11:02:55Z", []Entry{{Address: "a@example.com", Code: "550", CreatedAt: at}}, ""},
		{Bounces, "address,created_at\na@example.com,1319194975", []Entry{{Address: "a@example.com", Code: "550", CreatedAt: at}}, ""},
		{Bounces, "address,created_at\na@example.com,never", nil, "'created_at' parameter is invalid: never is not an RFC-2822 compliant date"},
		{Bounces, "code,address\n550", nil, "Missing mandatory parameter: address"},
		{Complaints, "address\nnobody", nil, `'address' parameter is invalid: "nobody": domain missing`},
		{Complaints, "address,code\na@example.com,5", []Entry{{Address: "a@example.com"}}, ""},
		{Unsubscribes, "address,tags\na@example.com,", []Entry{{Address: "a@example.com", Tag: "*"}}, ""},
		{Unsubscribes, "address,tags\na@example.com,*", []Entry{{Address: "a@example.com", Tag: "*"}}, ""},
		{Unsubscribes, "address,tags\na@example.com,[]", []Entry{{Address: "a@example.com", Tag: "*"}}, ""},
		{Unsubscribes, "address,tags\na@example.com,\"[a, b, a]\"", []Entry{{Address: "a@example.com", Tag: "a"}, {Address: "a@example.com", Tag: "b"}}, ""},
		{Unsubscribes, "address,tags\na@example.com,\"[\"\"a\"\", 'b c']\"", []Entry{{Address: "a@example.com", Tag: "a"}, {Address: "a@example.com", Tag: "b c"}}, ""},
		{Unsubscribes, "address;tag\na@example.com;a,b", []Entry{{Address: "a@example.com", Tag: "a"}, {Address: "a@example.com", Tag: "b"}}, ""},
		{Unsubscribes, "address;tags\na@example.com;" + strings.Repeat("x", 129), nil, "'tag' parameter is invalid: must be 1 to 128 ASCII characters"},
		{Allowlist, "address,domain,reason\n,example.org,ours", []Entry{{Address: "example.org", Reason: "ours"}}, ""},
		{Allowlist, "address,domain\na@example.com,", []Entry{{Address: "a@example.com"}}, ""},
		{Allowlist, "address,domain\na@example.com,example.org", nil, "a row must have an address or a domain, not both"},
		{Allowlist, "address,domain,reason\n,\"\",ours", nil, "Missing mandatory parameter: address/domain"},
	} {
		tab := newTable(strings.NewReader(tt.file), ',', 1, 0)
		cols, err := header(tab, tt.kind)
		if err != nil {
			t.Fatalf("%q: %v", tt.file, err)
		}
		l, err := tab.next()
		if err != nil || l.err != nil {
			t.Fatalf("%q: %v %v", tt.file, err, l.err)
		}
		got, bad := cols.entries(l.fields, tt.kind)
		for i := range tt.want {
			tt.want[i].Kind = tt.kind
		}
		if bad != nil {
			if bad.Public != tt.err {
				t.Errorf("%q: %s, want %q", tt.file, bad.Public, tt.err)
			}
		} else if tt.err != "" || !slices.Equal(got, tt.want) {
			t.Errorf("%q: %+v, want %+v %s", tt.file, got, tt.want, tt.err)
		}
	}
}

// Whatever a file holds: it is read to its end in one pass, and reading that
// begins where another one stood gives the same rest.
func FuzzTable(f *testing.F) {
	for _, s := range []string{"address,code\na@example.com,550\n", "\ufeffaddress;tags\r\n\"a@x.test\";\"[a, b]\"\r\n", "a\"b\n\"c\nd\"\n\"", "\"\"\"\n,\"x\"y\n", "a\n\n\n\x00\xff"} {
		f.Add([]byte(s), byte(','))
	}
	f.Fuzz(func(t *testing.T, file []byte, comma byte) {
		if comma != ',' && comma != ';' && comma != '\t' {
			return
		}
		tab := newTable(bytes.NewReader(file), comma, 1, 0)
		type mark struct{ line, done int64 }
		var marks []mark
		for {
			marks = append(marks, mark{tab.line, tab.done})
			if _, err := tab.next(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if m := marks[len(marks)-1]; tab.done <= m.done || tab.line < m.line {
				t.Fatalf("stands still at %+v", m)
			}
		}
		if tab.done != int64(len(file)) {
			t.Fatalf("%d of %d bytes", tab.done, len(file))
		}
		all := readAll(t, newTable(bytes.NewReader(file), comma, 1, 0))
		for i := range marks[:min(len(marks), len(all))] {
			rest := readAll(t, newTable(bytes.NewReader(file[marks[i].done:]), comma, marks[i].line, marks[i].done))
			if !slices.Equal(rest, all[i:]) {
				t.Fatalf("from %+v: %q, want %q", marks[i], rest, all[i:])
			}
		}
		for _, k := range []Kind{Bounces, Complaints, Unsubscribes, Allowlist} {
			tab := newTable(bytes.NewReader(file), comma, 1, 0)
			cols, err := header(tab, k)
			for err == nil {
				var l line
				if l, err = tab.next(); err == nil && l.err == nil {
					list, bad := cols.entries(l.fields, k)
					if bad == nil && (len(list) == 0 || list[0].Address == "") {
						t.Fatalf("%q gives %+v", l.fields, list)
					}
				}
			}
		}
	})
}

// A file whose every line opens a quotation mark is read in one pass as well.
func TestTableIsLinear(t *testing.T) {
	for _, unit := range []string{"\"\n", "\"\"\"\n", "\"a\",\"b\n", "x\",\"\"\",\n", "\",\"\"\"\n", "\"\",\"\n", ",\"\n"} {
		in := &counter{r: strings.NewReader(strings.Repeat(unit, (4<<20)/len(unit)))}
		began := time.Now()
		rows := len(readAll(t, newTable(in, ',', 1, 0)))
		if in.n != (4<<20)/len(unit)*len(unit) {
			t.Errorf("%q: %d bytes read", unit, in.n)
		}
		if took := time.Since(began); took > 30*time.Second { // the square of it would be hours
			t.Errorf("%q: %d rows in %s", unit, rows, took)
		}
	}
}

type counter struct {
	r io.Reader
	n int
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += n
	return n, err
}
