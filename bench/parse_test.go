package main

import (
	"bytes"
	"errors"
	"net/smtp"
	"strings"
	"testing"
	"time"
)

func TestLibrary(t *testing.T) {
	for line, want := range map[string]string{
		"\tlinux-vdso.so.1 (0x00007ffd)":                                        "",
		"\tlibidn.so.12 => /tmp/x/usr/lib/libidn.so.12 (0x00007f)":              "/tmp/x/usr/lib/libidn.so.12",
		"\t/lib64/ld-linux-x86-64.so.2 (0x00007f2)":                             "/lib64/ld-linux-x86-64.so.2",
		"\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f2c3b000000)\n": "/lib/x86_64-linux-gnu/libc.so.6",
	} {
		if got, err := library(line); got != want || err != nil {
			t.Errorf("library(%q) = %q, %v", line, got, err)
		}
	}
	if _, err := library("\tlibidn.so.12 => not found"); err == nil {
		t.Error("a missing library was passed over")
	}
}

func TestParseSpeed(t *testing.T) {
	if got, err := parseSpeed("+R1:2:x\n+F2:2:2048:3528.571429:61040.277778\n"); err != nil || got != 3528.571429 {
		t.Errorf("parseSpeed = %v, %v", got, err)
	}
	for _, bad := range []string{"", "+F2:3:4096:10:20\n", "+F2:2:2048:0.0002:0.1\n", "+F2:2:2048:x:1\n"} {
		if got, err := parseSpeed(bad); err == nil {
			t.Errorf("parseSpeed(%q) = %v", bad, got)
		}
	}
}

func TestParseSigning(t *testing.T) {
	backend, rate, err := parseSigning("RSA-2048: 1,134 signatures/s on one of 2 cores (backend: avx512-ifma)")
	if backend != "avx512-ifma" || rate != 1134 || err != nil {
		t.Errorf("parseSigning = %q, %v, %v", backend, rate, err)
	}
	if _, _, err := parseSigning("not measured"); !errors.Is(err, errDoctor) {
		t.Errorf("err = %v", err)
	}
}

func TestGoSignatures(t *testing.T) {
	if rate, err := goSignatures(time.Millisecond); err != nil || rate <= 0 {
		t.Errorf("rate = %v, %v", rate, err)
	}
}

func TestLine(t *testing.T) {
	a, b := depth{held: 1000000, disk: 5}, depth{held: 4000000, disk: 8}
	if got := line(a, b, func(x depth) float64 { return x.disk }); got != 14 {
		t.Errorf("line = %v, want 14", got)
	}
}

func TestPercentiles(t *testing.T) {
	var list []time.Duration
	for i := range 200 {
		list = append(list, time.Duration(200-i))
	}
	if p50, p99 := percentiles(list); p50 != 101 || p99 != 199 {
		t.Errorf("percentiles = %d, %d", p50, p99)
	}
	if p50, p99 := percentiles(nil); p50 != 0 || p99 != 0 {
		t.Errorf("of nothing: %d, %d", p50, p99)
	}
}

func TestChoice(t *testing.T) {
	got, err := (&choice{peers: "exim,postroad"}).pick("x")
	if err != nil || len(got.list) != 2 || got.list[0].id != idPostroad || got.list[1].id != "exim" {
		t.Errorf("pick = %v, %v", got.list, err)
	}
	if _, err := (&choice{peers: "sendmail"}).pick("x"); !errors.Is(err, errNoPeer) {
		t.Errorf("err = %v", err)
	}
	parts, err := chosen(plan(target{}, choice{}, false), "deep,sign")
	if err != nil || len(parts) != 2 || parts[0].name != kindSign || parts[1].name != kindDeep {
		t.Errorf("chosen = %v, %v", parts, err)
	}
	if _, err := chosen(parts, "nothing"); err == nil {
		t.Error("a measurement that is not there was taken")
	}
}

// TestMissed checks what fails a run.
func TestMissed(t *testing.T) {
	broken := errors.New("it did not start")
	for _, c := range []struct {
		id     string
		strict bool
		reason error
		fails  bool
	}{{idPostroad, false, broken, true}, {"exim", false, broken, false}, {"exim", true, broken, true}, {"exim", true, errStalled, false}} {
		r := newReport("")
		err := roster{strict: c.strict}.missed(r, "e2e", product{id: c.id}, c.id, c.reason)
		if (err != nil) != c.fails || len(r.results) != 1 || r.results[0].Missed == "" {
			t.Errorf("%+v: %v, %+v", c, err, r.results)
		}
	}
}

// TestSourceMessage sends the message as smtp-source does and checks that the
// sink takes it for what it is.
func TestSourceMessage(t *testing.T) {
	text := sourceMessage(10240, "X-Rig-Id: rig-1")
	head, rest, ok := bytes.Cut(text, []byte("\n\n"))
	if !ok || !strings.HasSuffix(string(head), "X-Rig-Id: rig-1") || bytes.Contains(text, []byte("\r")) {
		t.Errorf("message = %.300q", text)
	}
	if n := len(rest) + bytes.Count(rest, []byte("\n")); n != 10240 {
		t.Errorf("%d bytes of text on the wire", n)
	}
	got := make(chan received, 1)
	s, err := startSink("127.0.0.1:0", func(m received) { got <- m })
	if err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	if err := smtp.SendMail(s.addr(), nil, "a@b", []string{"c@d"}, text); err != nil {
		t.Fatal(err)
	}
	if m := <-got; m.RigID != "rig-1" || m.Began.Before(before) {
		t.Errorf("received %+v", m)
	}
	if err := s.leave(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRefusingSink(t *testing.T) {
	s, err := startRefusing("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	err = smtp.SendMail(s.addr(), nil, "a@b", []string{"c@d"}, []byte("x\r\n"))
	if err == nil || !strings.HasPrefix(err.Error(), "451") || s.refused.Load() != 1 || s.count.Load() != 0 {
		t.Errorf("err = %v, refused %d, taken %d", err, s.refused.Load(), s.count.Load())
	}
}
