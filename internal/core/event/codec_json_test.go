package event

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// plain is the document as encoding/json writes it.
func plain(t *testing.T, d *Doc) []byte {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(d); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// fill gives every member some value, or leaves it out.
func fill(r *rand.Rand, v reflect.Value) {
	texts := []string{"", "plain", "<a@b.example> & co", "quote \" back \\ tab \t", "gr\u00fc\u00dfe \u2028 \U0001f600", "bad \xff utf8", "nul\x00"}
	switch v.Kind() {
	case reflect.Pointer:
		if r.IntN(4) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(r, v.Field(i))
		}
	case reflect.String:
		v.SetString(texts[r.IntN(len(texts))])
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int, reflect.Int64:
		v.SetInt([]int64{0, 1, 250, 1763668999123456, math.MaxInt64 / 4}[r.IntN(5)])
	case reflect.Float64:
		v.SetFloat([]float64{0, 0.012, 1e-7, 3e22, 17, 0.1 + 0.2}[r.IntN(6)])
	case reflect.Slice:
		switch v.Type() {
		case reflect.TypeFor[json.RawMessage]():
			v.SetBytes([]byte([]string{"{}", `{ "a" : "<b>" }`, "null"}[r.IntN(3)]))
		default:
			if n := r.IntN(4); n < 3 {
				v.Set(reflect.MakeSlice(v.Type(), n, n))
				for i := range n {
					fill(r, v.Index(i))
				}
			}
		}
	default:
		panic(v.Kind())
	}
}

// Every document is written as encoding/json would: a member added to Doc and
// forgotten in the writer fails here.
func TestEncodeEqualsEncodingJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		var d Doc
		fill(r, reflect.ValueOf(&d).Elem())
		got, err := encode(&d)
		if err != nil {
			t.Fatal(err)
		}
		if want := plain(t, &d); !bytes.Equal(got, want) {
			t.Fatalf("\ngot  %s\nwant %s", got, want)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	if _, err := encode(&Doc{UserVariables: json.RawMessage("{")}); err == nil {
		t.Error("broken variables were written")
	}
	if _, err := encode(&Doc{DeliveryStatus: &DeliveryStatus{SessionSeconds: math.Inf(1)}}); err == nil || !strings.Contains(err.Error(), "unsupported value") {
		t.Error(err)
	}
}

func BenchmarkEncode(b *testing.B) {
	yes := true
	d := &Doc{Event: Delivered, ID: "W3X4JOhFT-OZidZGKKr9iA", Timestamp: 1763668999123456, LogLevel: "info",
		Envelope: &Envelope{"bounce+1@rig.example.com", "smtp", "u@sink.example", "127.0.0.1"}, Flags: &Flags{IsAuthenticated: true},
		DeliveryStatus: &DeliveryStatus{TLS: &yes, MXHost: "mx.sink.example", Code: 250, SessionSeconds: 0.012, AttemptNo: 1, Message: "OK"},
		Message:        &Message{Headers: Headers{"<u@sink.example>", "1@rig.example.com", "<a@rig.example.com>", "hello"}, Attachments: []Attachment{}, Size: 10541},
		Storage:        &Storage{"https://mail.example.com/v3/domains/rig.example.com/messages/BAAB", "local", "BAAB", "production"},
		Recipient:      "u@sink.example", RecipientDom: "sink.example", Tags: []string{}, Campaigns: []string{}, UserVariables: json.RawMessage("{}")}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encode(d); err != nil {
			b.Fatal(err)
		}
	}
}
