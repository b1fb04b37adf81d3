package list

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"postroad/internal/core/event"
)

// show writes records in one line each.
func show(format, data string, subscribed bool) (out []string) {
	for r := range records(format, []byte(data), subscribed) {
		if r.err != nil {
			out = append(out, "! "+public(r.err)+" | "+r.text)
			continue
		}
		name, own := "-", "-"
		if r.name != nil {
			name = *r.name
		}
		if r.subscribed != nil {
			own = fmt.Sprint(*r.subscribed)
		}
		out = append(out, fmt.Sprintf("%s | %s | %s | %s | %v", r.address, name, own, r.vars, !r.outside))
	}
	return out
}

func TestRecords(t *testing.T) {
	for _, c := range []struct {
		name, format, data string
		want               []string
	}{
		{"addresses", "json", `["a@b.example", "Ann <ann@b.example>", "x"]`, []string{"a@b.example | - | - |  | true", "ann@b.example | Ann | - |  | true", `! 'address' parameter is invalid: "x": address missing | "x"`}},
		{"objects", "json", `[{"address":"a@b.example","name":"A","subscribed":"no","vars":"{\"k\": 1}"},{"address":"b@b.example","vars":{"k":[2]},"subscribed":true},{"address":"c@b.example","vars":null,"name":null}]`,
			[]string{`a@b.example | A | false | {"k":1} | true`, `b@b.example | - | true | {"k":[2]} | true`, "c@b.example | - | - |  | true"}},
		{"bad objects", "json", `[5, null, {"name":"x"}, {"address":"a@b.example","vars":"x"}, {"address":"a@b.example","subscribed":"maybe"}, [1]]`, []string{
			"! a member must be an address or an object with an address | 5", "! a member must be an address or an object with an address | null", `! 'address' parameter is invalid: "": no address | {"name":"x"}`,
			`! 'vars' parameter is not a valid JSON | {"address":"a@b.example","vars":"x"}`, `! 'subscribed' parameter is invalid: must be yes or no | {"address":"a@b.example","subscribed":"maybe"}`,
			"! a member must be an address or an object with an address | [1]"}},
		{"header", "csv", "name;E-Mail;subscribed;Town\r\n\"Clark; Ann\";ann@b.example;no;Bonn\r\n;bob@b.example;;\r\n",
			[]string{`ann@b.example | Clark; Ann | false | {"Town":"Bonn"} | true`, `bob@b.example |  | - | {"Town":""} | true`}},
		{"no header", "csv", "ann@b.example,Ann,\"{\"\"k\"\":1}\"\n\n  \nbob@b.example", []string{`ann@b.example | Ann | - | {"k":1} | true`, "bob@b.example | - | - |  | true"}},
		{"vars win", "csv", "address,k,vars\na@b.example,1,\"{\"\"k\"\":2}\"\n", []string{`a@b.example | - | - | {"k":2} | true`}},
		{"bad rows", "csv", "address\nx\na@b.example,more,columns\n\xff@b.example\n", []string{`! 'address' parameter is invalid: "x": address missing | x`, "a@b.example | - | - |  | true", "! the row is not UTF-8, or longer than 65536 bytes | ?@b.example"}},
		{"an open quote", "csv", "address,name\na@b.example,\"Ann\nb@b.example,B\n", []string{"! 'name' parameter is invalid: must be one line of at most 500 bytes | a@b.example,Ann\nb@b.example,B\n"}},
		{"tabs", "csv", "a@b.example\tAnn\n", []string{"a@b.example | Ann | - |  | true"}},
		{"nothing", "csv", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := show(c.format, c.data, true); !slices.Equal(got, c.want) {
				t.Errorf("\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
	if got := show("csv", "a@b.example\n", false); got[0] != "a@b.example | - | - |  | false" {
		t.Error(got)
	}
	big := `["a@b.example",{"address":"a@b.example","vars":{"k":"` + strings.Repeat("x", maxVars) + `"}},{"address":"` + strings.Repeat("x", maxRecord) + `"}]`
	if got := show("json", big, true); len(got) != 3 || !strings.HasPrefix(got[1], "! 'vars' parameter is invalid: must be at most 16384 bytes") || !strings.HasPrefix(got[2], "! a member must be at most 65536 bytes") {
		t.Errorf("%.200q", got)
	}
}

func FuzzCSV(f *testing.F) {
	for _, s := range []string{"address,name,vars\na@b.example,\"A, B\",\"{\"\"k\"\":1}\"\n", "a@b.example;Ann\n", "\xef\xbb\xbfemail\tx\na@b.example\ty", "\"", "a@b.example,\"x\ny\"\"", "address\n\n\xff\n", "name,address,address\n1,2,3"} {
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, subscribed bool) {
		n := 0
		var again []string
		for r := range csvRecords(data, subscribed) {
			n++
			checkRecord(t, &r)
			again = append(again, r.text)
		}
		if n > len(data)+1 {
			t.Errorf("%d records of %d bytes", n, len(data))
		}
		i := 0
		for r := range csvRecords(data, subscribed) { // an upload goes on in the middle
			if r.text != again[i] {
				t.Fatalf("record %d: %q, then %q", i, again[i], r.text)
			}
			i++
		}
	})
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{`["a@b.example",{"address":"a@b.example","vars":"{}","subscribed":false}]`, `[null,5,{}]`, `[{"vars":"\""}]`, `[`, `{}`, `[]x`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := jsonMembers(text)
		if err != nil {
			return
		}
		if len(list) > maxJSONMembers {
			t.Fatal(len(list))
		}
		n := 0
		for r := range records("json", []byte(text), true) {
			n++
			checkRecord(t, &r)
		}
		if n != len(list) {
			t.Errorf("%d records when it came, %d in the background", len(list), n)
		}
	})
}

func checkRecord(t *testing.T, r *record) {
	t.Helper()
	if len(r.text) > maxText+2*len("...") || r.err == nil && r.address == "" {
		t.Errorf("%+v", r)
	}
	if r.err == nil && r.vars != nil && (len(r.vars) > maxVars || !json.Valid(r.vars) || r.vars[0] != '{') {
		t.Errorf("vars %s", r.vars)
	}
}

// An upload that was interrupted goes on where it was: each record counts once.
func TestUploadSurvives(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.create(t, "l@ex.com", 1)
		var b strings.Builder
		b.WriteString("address,name\n")
		for i := range 1000 {
			fmt.Fprintf(&b, "u%d@d.example,U\n", i)
		}
		b.WriteString("bad\nm000000@d0.example,M\n")
		l, err := w.Get(w.ctx, "l@ex.com")
		check(t, err)
		out, err := w.enqueue(w.ctx, l, &upload{format: "csv", data: []byte(b.String()), subscribed: true})
		check(t, err)
		ctx, kill := context.WithCancel(context.Background())
		seen := 0
		w.onEvent = func(e *event.Event) {
			if seen++; seen == 450 {
				kill() // in the middle of a transaction
			}
		}
		check(t, w.RunUploads(ctx))
		if done := w.count(t, "SELECT done FROM list_upload"); done != 400 {
			t.Fatalf("%d records done when it was interrupted", done)
		}
		w.onEvent = nil
		w.start(t)
		stop := run(t, w.RunUploads)
		until(t, "the upload", func() bool { return w.count(t, "SELECT COUNT(*) FROM list_upload") == 0 })
		stop()
		found, err := w.Events.OfMessage(w.ctx, 0, 10_000)
		check(t, err)
		kinds, members := map[event.Type]int{}, map[string]bool{}
		for _, e := range found {
			if e.Doc.TaskID != out.TaskID {
				t.Errorf("%+v", e.Doc)
			}
			kinds[e.Doc.Event]++
			if e.Doc.Member != nil {
				members[e.Doc.Member.Address] = true
			}
		}
		if kinds[event.ListMemberUploaded] != 1000 || kinds[event.ListMemberUploadError] != 2 || kinds[event.ListUploaded] != 1 || len(members) != 1000 {
			t.Errorf("%v, %d members", kinds, len(members))
		}
		if l, err = w.Get(w.ctx, "l@ex.com"); err != nil || l.Members != 1001 || w.count(t, "SELECT COUNT(*) FROM list_member") != 1001 {
			t.Errorf("%+v %v", l, err)
		}
	})
}
