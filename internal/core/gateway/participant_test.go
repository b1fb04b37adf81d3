package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"postroad/internal/base/netx"
	"postroad/internal/core/account"
)

func TestParticipants(t *testing.T) {
	each(t, nil, func(t *testing.T, w *world) {
		ctx := account.With(t.Context(), &account.Caller{AccountID: "one"})
		put := func(body string) error {
			in := &putIn{}
			if err := json.Unmarshal([]byte(body), in); err != nil {
				return err
			}
			_, err := w.putParticipants(ctx, in)
			return err
		}
		check(t, put(`{"participants":[{"id":1,"email":"One <one@example.net>","variables":{"name":"One","n":12345678901234567890}},{"id":2,"email":"x@example.net"},{"id":2,"email":"two@example.net","metadata":{"m":1}}]}`))
		check(t, put(`{"participants":[{"id":1,"email":"uno@example.net","variables":{"n":12345678901234567890}}]}`))
		list, err := w.listParticipants(ctx, &listParticipantsIn{Limit: 10})
		check(t, err)
		b, err := json.Marshal(list)
		check(t, err)
		if want := `{"participants":[{"id":1,"email":"uno@example.net","variables":{"n":12345678901234567890},"metadata":{}},{"id":2,"email":"two@example.net","variables":{},"metadata":{"m":1}}],"total":2}`; string(b) != want {
			t.Errorf("%s, want %s", b, want)
		}
		other := account.With(t.Context(), &account.Caller{AccountID: "two"})
		if list, err := w.listParticipants(other, &listParticipantsIn{Limit: 10}); err != nil || list.Total != 0 {
			t.Error("another account sees them", err)
		}
		to, failed, err := w.resolve(t.Context(), "one", []int64{2, 3, 1})
		if err != nil || len(to) != 2 || to[0].Email != "two@example.net" || *to[1].ID != 1 || len(failed) != 1 || *failed[0].ParticipantID != 3 {
			t.Errorf("%+v %+v %v", to, failed, err)
		}
		if out, err := w.deleteParticipants(other, &deleteIn{IDs: []int64{1, 2}}); err != nil || out.Deleted != 0 {
			t.Error("another account deletes them", err)
		}
		if out, err := w.deleteParticipants(ctx, &deleteIn{IDs: []int64{1, 9}}); err != nil || out.Deleted != 1 {
			t.Error(out, err)
		}
		refused(t, put(`{}`), "participants are required")
		refused(t, put(`{"participants":[{"id":0,"email":"a@example.net"}]}`), "participants[0]: id must be")
		refused(t, put(`{"participants":[{"id":1,"email":"a"},{"id":2,"email":"b"}]}`), `"invalidEmails":["a","b"]`)
		refused(t, put(`{"participants":[`+strings.Repeat(`{},`, 1000)+`{}]}`), "max is 1000")
	})
}

func TestResolver(t *testing.T) {
	var asked []string
	answer := netx.Response{Status: 200, Body: []byte(`{"participants":[{"id":1,"email":"a@example.net","variables":{"name":"A"}},{"id":2,"email":"no address"}]}`)}
	var fail error
	over := func(c *Config) {
		c.Participants = "http://internal/p"
		c.Resolver = func(_ context.Context, r netx.Request) (netx.Response, error) {
			asked = append(asked, r.Method+" "+r.URL+" "+string(r.Body))
			return answer, fail
		}
	}
	w := newWorld(t, sqlite(t), fakeClock(), over)
	to, failed, err := w.resolve(t.Context(), "", []int64{1, 2, 3})
	if err != nil || len(to) != 1 || to[0].Variables["name"] != "A" || len(failed) != 2 || asked[0] != `POST http://internal/p {"ids":[1,2,3]}` {
		t.Errorf("%+v %+v %v %s", to, failed, err, asked)
	}
	const body = `{"driver":"mailgun","api_key":"key-admin","from":"a@example.com","subject":"S","text":"x","recipient_ids":[1]}`
	for _, c := range []struct {
		answer netx.Response
		err    error
		want   string
	}{
		{netx.Response{}, errors.New("no route to 10.0.0.1"), `"error":"Failed to look up participants","details":"the participant source did not answer"`},
		{netx.Response{Status: 404}, nil, "the participant source answered 404"},
		{netx.Response{Status: 200, Truncated: true}, nil, "did not answer in full"},
		{netx.Response{Status: 200, Body: []byte("<html>")}, nil, "did not answer with participants"},
	} {
		answer, fail = c.answer, c.err
		_, err := w.post("bulk", body)
		refused(t, err, c.want)
	}
}

func TestReadCSV(t *testing.T) {
	list, err := readCSV([]byte("\xef\xbb\xbfid, email,name,variables,metadata\r\n7,Ann <ann@example.net>,\"Ann, A\",\"{\"\"code\"\":1}\",\"{\"\"m\"\":2}\"\n8,b@example.net,,,\n"))
	check(t, err)
	b, err := json.Marshal(list)
	check(t, err)
	if want := `[{"id":7,"email":"ann@example.net","variables":{"code":1,"name":"Ann, A"},"metadata":{"m":2}},{"id":8,"email":"b@example.net","variables":{"name":""},"metadata":null}]`; string(b) != want {
		t.Errorf("%s, want %s", b, want)
	}
	for text, want := range map[string]string{
		"":               "is empty",
		"id,email\n":     "has no participants",
		"id,name\n1,x\n": "must name",
		"id,email\n1,a@example.net\nx,b@example.net\n": `"error":"line 3 of the CSV file is invalid","details":"id must be`,
		"id,email\n1,a\n":                          "line 2",
		"id,email\n1\n":                            "cannot be read",
		"id,email\n1,\"a@example.net\n":            "cannot be read",
		"id,email,variables\n1,a@example.net,[]\n": "variables must be a JSON object",
		"id,email,metadata\n1,a@example.net,1\n":   "metadata must be a JSON object",
		"id,email\n1,\xff@example.net\n":           "UTF-8",
		strings.Repeat("c,", 100) + "id,email\n":   "up to 100 columns",
	} {
		_, err := readCSV([]byte(text))
		refused(t, err, want)
	}
}

func FuzzReadCSV(f *testing.F) {
	f.Add([]byte("id,email,name\n1,a@example.net,A\n"))
	f.Add([]byte("id,email,variables\n1,a@example.net,\"{\"\"a\"\":1}\"\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := readCSV(b)
		for _, p := range list {
			if err != nil || p.check() != nil {
				t.Fatalf("%+v, %v", p, err)
			}
		}
	})
}

// FuzzRequest: any JSON is a request or an error.
func FuzzRequest(f *testing.F) {
	f.Add(`{"to":"a","cc":["b"],"tags":["t"],"metadata":{"a":1},"variables":{"a":{}}}`, `[{"email":"a@example.net","variables":{},"metadata":{}}]`)
	f.Add(`{"to":null,"cc":1}`, `[null,{"metadata":null}]`)
	f.Fuzz(func(t *testing.T, one, list string) {
		var b sendIn
		_ = json.Unmarshal([]byte(one), &b)
		var c checked
		c.all(b.To)
		_, _ = b.check(&c)
		var r recipients
		if json.Unmarshal([]byte(list), &r) != nil {
			return
		}
		to, twice := once(r)
		if len(to)+len(twice) != len(r) {
			t.Fatal("recipients were lost")
		}
		_, _ = json.Marshal(to)
	})
}
