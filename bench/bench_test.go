package main

import (
	"bufio"
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"os"
	"strings"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const line = "4711 (a) b (c) S 12 4711 4711 0 -1 4194560 1000 2000 0 0 150 50 30 20 20 0 1 0 99 1000000 256 18446744073709551615 1 1 0 0 0"
	got, err := parseStat(line)
	want := stat{pid: 4711, parent: 12, cpu: 2500 * time.Millisecond, resident: 256 * int64(os.Getpagesize())}
	if err != nil || got != want {
		t.Errorf("parseStat = %+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{"", "1 (a) S 1", "x (a)" + strings.Repeat(" y", 30)} {
		if _, err := parseStat(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestTreeHoldsItself(t *testing.T) {
	list, err := tree(os.Getpid())
	if err != nil || len(list) == 0 {
		t.Fatalf("tree = %v, %v", list, err)
	}
	if p := readPSS(os.Getpid()); p <= 0 {
		t.Errorf("PSS = %d", p)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		list []float64
		want float64
	}{{[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 3, 2}, 2}} {
		if got := median(c.list); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.list, got, c.want)
		}
	}
}

// TestSink sends to the sink with the standard library's client.
func TestSink(t *testing.T) {
	got := make(chan received, 1)
	s, err := startSink("127.0.0.1:0", func(m received) { got <- m })
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	text := "DKIM-Signature: v=1\r\nMessage-ID: <a@b>\r\nx-rig-id: rig-7\r\n\r\nMessage-ID: <not@this>\r\n.dot\r\n" + strings.Repeat("x", 40<<10) + "\r\n"
	if err := smtp.SendMail(s.addr(), nil, "from@b", []string{"to@b"}, []byte(text)); err != nil {
		t.Fatal(err)
	}
	m := <-got
	if m.MessageID != "a@b" || m.RigID != "rig-7" || !m.Signed || m.Bytes < len(text) {
		t.Errorf("received = %+v", m)
	}
}

// TestLoad sends prepared requests to a real HTTP server, which reads them as
// any server would.
func TestLoad(t *testing.T) {
	seen := make(chan http.Header, 100)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(1 << 20); err != nil {
			t.Error(err)
		}
		if user, password, _ := r.BasicAuth(); user != "api" || password != "key-x" || r.URL.Path != "/v3/d.example/messages" {
			t.Errorf("%s as %s:%s", r.URL.Path, user, password)
		}
		if got := len(r.FormValue("text")); got != 10240 {
			t.Errorf("text of %d bytes", got)
		}
		h := r.Header.Clone()
		h.Set("rig", r.FormValue("h:"+rigHeader)+" "+r.FormValue("to")+" "+r.FormValue("o:dkim"))
		seen <- h
		w.Write([]byte(`{"id":"<1@d.example>","message":"Queued. Thank you."}`))
	}))
	defer srv.Close()
	acked := make(chan string, 100)
	l := load{addr: srv.Listener.Addr().String(), domain: "d.example", key: "key-x", messages: 50, connections: 4, size: 10240,
		fields: dkimField(false), rigIDs: true, idempotent: true, first: 10, acked: func(rig, id string) { acked <- rig + " " + id }}
	r := l.run(context.Background())
	if r.Accepted != 50 || r.Failed != 0 || r.Error != "" || r.P99 < r.P50 {
		t.Errorf("result = %+v", r)
	}
	if first := <-acked; !strings.HasPrefix(first, "rig-") || !strings.HasSuffix(first, " 1@d.example") {
		t.Errorf("acked %q", first)
	}
	h := <-seen
	if key := h.Get("Idempotency-Key"); !strings.HasPrefix(h.Get("rig"), key+" user") || !strings.HasSuffix(h.Get("rig"), " no") {
		t.Errorf("key %q, fields %q", key, h.Get("rig"))
	}
}

// TestBareHandler checks that the bare handler reads what the load sends.
func TestBareHandler(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(bareHandler))
	defer srv.Close()
	l := load{addr: srv.Listener.Addr().String(), domain: "d.example", key: "k", messages: 20, connections: 2, size: 1024}
	if r := l.run(context.Background()); r.Accepted != 20 || r.Error != "" {
		t.Errorf("result = %+v", r)
	}
}

func TestReadAnswerRefused(t *testing.T) {
	_, err := readAnswer(bufio.NewReader(strings.NewReader("HTTP/1.1 429 Too Many\r\nContent-Length: 4\r\n\r\nlate")))
	if err == nil || !strings.Contains(err.Error(), "429") || !strings.Contains(err.Error(), "late") {
		t.Errorf("err = %v", err)
	}
}

func TestReport(t *testing.T) {
	path := t.TempDir() + "/out"
	r := newReport(path)
	for _, one := range []result{
		{Kind: "e2e", System: "Postroad", Messages: 10, PerSecond: 100, CPUPer1000: 1, PeakRSS: 1 << 20},
		{Kind: "e2e", System: "Exim", Messages: 10, PerSecond: 50, CPUPer1000: 4, CPUAtLeast: true},
		{Kind: "e2e", System: "Postroad", Messages: 10, PerSecond: 300, CPUPer1000: 1, PeakRSS: 1 << 20},
		{Kind: "e2e", System: "Postroad, DKIM", Signed: true, Messages: 10, PerSecond: 7},
		{Kind: "sign", System: "OpenSSL", Figures: []figure{{"signatures", 3500, "/s"}}},
		{Kind: "sign", System: "OpenSSL", Figures: []figure{{"signatures", 3700, "/s"}}},
		{Kind: "sign", System: "OpenSSL", Figures: []figure{{"signatures", 100, "/s"}}},
		{Kind: "e2e", System: "Haraka", Missed: "no npm\nhere"},
	} {
		if err := r.add(one); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := r.finish(&out); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{"100 (100-300)", ">= 4.00", "e2e Postroad / Exim 2.00 <= 0.25 - -", "sign OpenSSL signatures 3500 /s", "Haraka NOT MEASURED: no npm; here"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
	if strings.Contains(text, "DKIM / Exim") {
		t.Errorf("signed is compared with unsigned:\n%s", out.String())
	}
	lines, err := os.ReadFile(path)
	if err != nil || strings.Count(string(lines), "\n") != 8 {
		t.Errorf("lines = %q, %v", lines, err)
	}
}

func TestSumMetrics(t *testing.T) {
	const text = "# HELP a_b x\na_b 3\na_bc 5\nc 1e+01\n"
	if got, err := sumMetrics(text, []string{"a_b", "c"}); err != nil || got != 13 {
		t.Errorf("sum = %d, %v", got, err)
	}
	if _, err := sumMetrics(text, []string{"d"}); err == nil {
		t.Error("a metric that is missing was taken as 0")
	}
}
