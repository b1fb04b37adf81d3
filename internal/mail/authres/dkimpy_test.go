package authres

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"postroad/internal/mail/dkim"
)

// dkimpyScript verifies, or seals, messages with dkimpy. It takes a JSON object
// and returns one.
const dkimpyScript = `
import json, sys, dkim
q = json.load(sys.stdin)
zone = {k + ".": v.encode() for k, v in q["zone"].items()}
lookup = lambda name, timeout=5: zone.get((name.decode() if isinstance(name, bytes) else name).rstrip(".") + ".")
out = {}
for name, text in q["messages"].items():
    message = text.encode()
    if q["seal"]:
        out[name] = b"".join(dkim.arc_sign(message, b"sel", b"peer.example", q["key"].encode(), b"mx.example.net")).decode()
    else:
        cv, _, reason = dkim.arc_verify(message, dnsfunc=lookup)
        out[name] = (cv or b"closed").decode()
json.dump(out, sys.stdout)
`

type dkimpyQuestion struct {
	Zone     map[string]string `json:"zone"`
	Messages map[string]string `json:"messages"`
	Seal     bool              `json:"seal"`
	Key      string            `json:"key"`
}

// dkimpy runs when POSTROAD_TEST_PEERS is set, and then the library must be there.
func dkimpy(t *testing.T, q dkimpyQuestion) map[string]string {
	t.Helper()
	if os.Getenv("POSTROAD_TEST_PEERS") == "" {
		t.Skip("POSTROAD_TEST_PEERS is not set")
	}
	python := ""
	for _, p := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(p, "-c", "import dkim, authres").Run() == nil {
			python = p
		}
	}
	if python == "" {
		t.Fatal("dkimpy is not installed, and POSTROAD_TEST_PEERS demands it")
	}
	script := filepath.Join(t.TempDir(), "peer.py")
	if err := os.WriteFile(script, []byte(dkimpyScript), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, script)
	cmd.Stdin = strings.NewReader(string(in))
	var complaints strings.Builder
	cmd.Stderr = &complaints
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, complaints.String())
	}
	var out map[string]string
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return out
}

// zone is the keys in the resolver, as the other implementation wants them.
func zone(n *names) map[string]string {
	keys := map[string]string{}
	for name, texts := range n.records {
		if name, ok := strings.CutPrefix(name, "TXT "); ok && len(texts) == 1 {
			keys[name] = texts[0]
		}
	}
	return keys
}

// TestDKIMPyVerifies has another implementation validate our chains.
func TestDKIMPyVerifies(t *testing.T) {
	n := honest()
	messages, want := map[string]string{"none": plain}, map[string]string{"none": "none"}
	for hops, name := range []string{"", "one", "two", "three"} {
		if hops == 0 {
			continue
		}
		good := forwarded(t, n, hops)
		messages[name], want[name] = good, "pass"
		for part, change := range map[string][2]string{
			"body": {"how are you", "who are you"}, "results": {"i=1; mx.hop1", "i=1; mx.evil"}, "seal": {"cv=none; d", "cv=none;  z=1; d"},
		} {
			messages[name+part], want[name+part] = strings.Replace(good, change[0], change[1], 1), "fail"
		}
		messages[name+"closed"], _ = hop(t, n, messages[name+"body"], "last.example", "")
		want[name+"closed"] = "closed"
	}
	for name, got := range dkimpy(t, dkimpyQuestion{Zone: zone(n), Messages: messages}) {
		if got != want[name] {
			t.Errorf("%s: %s, want %s", name, got, want[name])
		}
		own := Check(t.Context(), n, request(messages[name])).ARC
		if theirs := strings.Replace(got, "closed", "fail", 1); string(own.Result) != theirs {
			t.Errorf("%s: %+v here, %s there", name, own, got)
		}
	}
}

// TestDKIMPySeals has it seal what we judged, from the results we write, and seals
// on top of that.
func TestDKIMPySeals(t *testing.T) {
	n := honest()
	key := keyOf(t, n, "peer.example")
	text, err := dkim.MarshalPrivateKey(key.Signer)
	if err != nil {
		t.Fatal(err)
	}
	messages := map[string]string{}
	for hops, name := range []string{"first", "second", "third"} {
		msg := forwarded(t, n, hops)
		messages[name] = Check(t.Context(), n, request(msg)).Field() + msg
	}
	sealed := dkimpy(t, dkimpyQuestion{Zone: zone(n), Seal: true, Key: string(text), Messages: messages})
	again := map[string]string{}
	for hops, name := range []string{"first", "second", "third"} {
		msg := sealed[name] + messages[name]
		if a := Check(t.Context(), n, request(msg)).ARC; a.Result != Pass || a.Instance != hops+1 || a.Domain != "peer.example" {
			t.Errorf("%s: %+v\n%s", name, a, msg)
		}
		again[name], _ = hop(t, n, msg, "last.example", "x\r\n")
	}
	for name, got := range dkimpy(t, dkimpyQuestion{Zone: zone(n), Messages: again}) {
		if got != "pass" {
			t.Errorf("%s: %s", name, got)
		}
	}
}
