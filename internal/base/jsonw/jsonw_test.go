package jsonw

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
)

// plain is a value as encoding/json writes it, with < > & left as they are.
func plain(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func checkText(t *testing.T, s string) {
	t.Helper()
	w := &Writer{B: []byte("x")}
	w.Text(s)
	if got, want := string(w.B), "x"+plain(t, s); got != want || w.Err != nil {
		t.Fatalf("%q: %s %v, want %s", s, got, w.Err, want)
	}
}

func TestText(t *testing.T) {
	for c := range 256 {
		checkText(t, string([]byte{byte(c)}))
		checkText(t, "a"+string([]byte{byte(c)})+"\r\n<b>&")
	}
}

func FuzzText(f *testing.F) {
	f.Add("")
	f.Add("quote \" \\ \r\n\u2028 \xff")
	f.Fuzz(checkText)
}

func TestDocument(t *testing.T) {
	type doc struct {
		A string            `json:"a"`
		B string            `json:"b,omitempty"`
		C []string          `json:"c"`
		D []string          `json:"d"`
		E struct{ F int64 } `json:"e"`
		G float64           `json:"g"`
		H float64           `json:"h"`
		I bool              `json:"i"`
		J *[]int            `json:"j,omitempty"`
		K *[]int            `json:"k,omitempty"`
	}
	v := doc{A: "x", D: []string{"y", "z"}, G: 0.25, H: 1e-9, I: true, J: &[]int{1}}
	v.E.F = -5
	w := &Writer{B: []byte{'{'}}
	w.Member("a", v.A)
	w.Optional("b", v.B)
	w.List("c", v.C)
	w.List("d", v.D)
	w.Object("e")
	w.Int("F", v.E.F)
	w.End()
	w.Float("g", v.G)
	w.Float("h", v.H)
	w.Bool("i", v.I)
	Rare(w, "j", v.J)
	Rare(w, "k", v.K)
	w.End()
	if got, want := string(w.B), plain(t, v); got != want || w.Err != nil {
		t.Errorf("%s %v, want %s", got, w.Err, want)
	}
}

func TestFirstErrorIsKept(t *testing.T) {
	w := &Writer{B: []byte{'{'}}
	w.Float("a", math.NaN())
	w.Name("b")
	w.Any(json.RawMessage("{"))
	if w.Err == nil || !strings.Contains(w.Err.Error(), "NaN") {
		t.Error(w.Err)
	}
}
