package message

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// plain is a value as encoding/json writes it, with < > & left as they are.
func plain(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	check(t, enc.Encode(v))
	return strings.TrimSuffix(b.String(), "\n")
}

// fill gives every member some value, or leaves it out.
func fill(r *rand.Rand, v reflect.Value) {
	texts := []string{"", "plain", "Name <a@b.example> & co", "quote \" back \\ \r\n", "gr\u00fc\u00dfe \u2028 \U0001f600", "bad \xff utf8", "nul\x00 \x7f"}
	switch v.Kind() {
	case reflect.Pointer:
		if r.IntN(3) > 0 {
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
		v.SetInt([]int64{0, -1, 300, 1763668999123456}[r.IntN(4)])
	case reflect.Uint8:
		v.SetUint(uint64(r.IntN(3)))
	case reflect.Array:
		for i := range v.Len() {
			fill(r, v.Index(i))
		}
	case reflect.Map:
		switch {
		case r.IntN(2) == 0:
		case v.Type() == reflect.TypeFor[map[string]Wish]():
			v.Set(reflect.ValueOf(map[string]Wish{"a@b.c": {Notify: 6, OriginalType: "rfc822", Original: "<a>"}, "": {}}))
		default:
			v.Set(reflect.ValueOf(map[string]Vars{"a@b.c": {To: "<A>", Target: "a@b.c", Vars: json.RawMessage(`{ "k": 1 }`)}, "": {}}))
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			v.SetBytes([]byte([]string{"", "{}", `{ "a" : "<b>" }`, "null"}[r.IntN(4)]))
			return
		}
		if n := r.IntN(4); n < 3 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				fill(r, v.Index(i))
			}
		}
	default:
		panic(v.Kind())
	}
}

// Rows are written as encoding/json would: a member added to a struct and
// forgotten in its writer fails here.
func TestRowsEqualEncodingJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 5000 {
		var m Meta
		var q Request
		fill(r, reflect.ValueOf(&m).Elem())
		fill(r, reflect.ValueOf(&q).Elem())
		got, err := encodeMeta(&m)
		check(t, err)
		if want := plain(t, &m); got != want {
			t.Fatalf("\ngot  %s\nwant %s", got, want)
		}
		got, err = encodeRequest(&q)
		check(t, err)
		if want := plain(t, &q); got != want {
			t.Fatalf("\ngot  %s\nwant %s", got, want)
		}
	}
}

func TestBrokenVariablesAreNoRow(t *testing.T) {
	if _, err := encodeMeta(&Meta{Variables: json.RawMessage("{")}); err == nil {
		t.Error("broken variables were written")
	}
}
