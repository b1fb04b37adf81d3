package event

import (
	"slices"
	"strings"
	"testing"

	"postroad/internal/base/errs"
)

func sampleDoc() *Doc {
	return &Doc{Event: Failed, Severity: Permanent, Recipient: "Alice@Example.net", Tags: []string{"News", "weekly offer"},
		Message: &Message{Headers: Headers{To: "Alice Bee <alice@example.net>, bob@example.org", From: "Shop <no-reply@shop.example>",
			Subject: "Hello Rachel, your Order #12", MessageID: "2026.AB@shop.example"}, Size: 15000,
			Attachments: []Attachment{{Filename: "Invoice-2026.pdf"}}, Recipients: []string{"alice@example.net", "carol@example.com"}},
		MailingList: &MailingList{Address: "team@lists.example"}}
}

func TestFilter(t *testing.T) {
	for _, c := range []struct {
		field, expr string
		want        bool
	}{
		{"event", "failed", true}, {"event", "FAILED", true}, {"event", "fail", false}, {"event", "delivered OR failed", true},
		{"event", "NOT failed", false}, {"event", "delivered failed", false}, {"event", "(rejected OR failed) AND NOT delivered", true},
		{"event", `"failed"`, true}, {"severity", "permanent", true}, {"severity", "temporary", false},
		{"recipient", "alice@example.net", true}, {"recipient", "lice@example.net", false}, {"recipient", "example.net", true},
		{"recipient", "@example.net", true}, {"recipient", "xample.net", false}, {"recipient", "alice", true}, {"recipient", "alice@example.n", false},
		{"recipient", `"ce@exam"`, false}, {"recipients", "carol@example.com", true}, {"recipients", "dave@example.com", false},
		{"list", "team@lists.example", true}, {"list", "other@lists.example", false},
		{"to", "alice@example.net", true}, {"to", "bob@example.org", true}, {"to", "ob@example.org", false}, {"to", "alice AND bee", true},
		{"to", "alice@example", false}, {"from", "no-reply@shop.example", true}, {"from", "reply@shop.example", false}, {"from", "shop", true},
		{"subject", "hello", true}, {"subject", "hell", false}, {"subject", `"hell"`, true}, {"subject", "hello order", true},
		{"subject", "Hello AND NOT Rachel", false}, {"subject", "(Hello AND NOT Rachel) OR (order AND 12)", true}, {"subject", "rachel,", true},
		{"subject", `"your order"`, true}, {"subject", `"order your"`, false}, {"subject", `"a \"b\" c"`, false}, {"subject", "and", false},
		{"subject", "NOT NOT hello", true}, {"subject", "nothing OR hello AND order", true}, {"subject", "hello OR nothing AND missing", true},
		{"message-id", "2026.ab@shop.example", true}, {"message-id", "<2026.AB@shop.example>", true}, {"message-id", "2026.AB", false},
		{"attachment", "invoice", true}, {"attachment", "invoice-2026.pdf", true}, {"attachment", "invoice.pdf", false},
		{"tags", "news", true}, {"tags", "new", false}, {"tags", `"weekly offer"`, true}, {"tags", "weekly", false}, {"tags", "news AND NOT other", true},
		{"size", ">10000", true}, {"size", ">10000 <20000", true}, {"size", ">15000", false}, {"size", ">=15000", true}, {"size", "<=14999", false},
		{"size", "15000", true}, {"size", "< 20000", true}, {"size", "NOT >10000", false}, {"size", "<100 OR >10000", true}, {"size", ">1<2", false},
		{"subject", "  ", true},
	} {
		f, err := NewFilter([]FieldFilter{{c.field, c.expr}})
		if err != nil {
			t.Errorf("%s=%s: %v", c.field, c.expr, err)
			continue
		}
		if got := f.Match(sampleDoc()); got != c.want {
			t.Errorf("%s=%s: %v", c.field, c.expr, got)
		}
		if c.want && f.types != nil && !slices.Contains(f.types, codes[Failed]) || c.want && f.recipients != nil && !slices.Contains(f.recipients, Hash("alice@example.net")) {
			t.Errorf("%s=%s: the index would not find it", c.field, c.expr)
		}
	}
}

func TestFilterErrors(t *testing.T) {
	for _, c := range []struct{ field, expr, want string }{
		{"subject", "(a", "')' is missing at character 3"}, {"subject", "a)", "unexpected ')' at character 2"}, {"subject", `"a`, "closing quote is missing at character 3"},
		{"subject", "AND a", "a term is missing at character 1"}, {"subject", "a OR", "a term is missing at character 5"}, {"subject", "NOT", "a term is missing"},
		{"subject", "()", "unexpected ')'"}, {"subject", "a AND OR b", "a term is missing"}, {"size", "big", "'big' is not a number"}, {"size", ">", "a number is missing"},
		{"subject", strings.Repeat("(", 100), "too many levels"}, {"subject", strings.Repeat("NOT ", 100) + "a", "too many levels"},
		{"subject", strings.Repeat("a ", 1000), "too many terms"}, {"subject", strings.Repeat("a", 5000), "longer than"}, {"subject", "a\xff", "UTF-8"},
		{"nonsense", "a", "not a filter field"},
	} {
		_, err := NewFilter([]FieldFilter{{c.field, c.expr}})
		if !errs.Is(err, errs.Invalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s=%.20s: %v", c.field, c.expr, err)
		}
	}
}

func TestFilterHints(t *testing.T) {
	hint := func(fields ...FieldFilter) Filter {
		f, err := NewFilter(fields)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	if f := hint(FieldFilter{"event", "delivered OR failed"}); !slices.Equal(f.types, []int64{3, 4}) || !f.onIndex() {
		t.Errorf("%+v", f)
	}
	if f := hint(FieldFilter{"event", "delivered"}, FieldFilter{"event", "failed"}); !f.never() {
		t.Errorf("%+v", f)
	}
	if f := hint(FieldFilter{"severity", "temporary"}); !slices.Equal(f.types, []int64{4}) || f.onIndex() {
		t.Errorf("%+v", f)
	}
	if f := hint(FieldFilter{"severity", "NOT temporary"}); f.types != nil {
		t.Errorf("%+v", f)
	}
	if f := hint(FieldFilter{"recipient", "a@b.c OR d@e.f"}); len(f.recipients) != 2 || f.onIndex() {
		t.Errorf("%+v", f)
	}
	for _, expr := range []string{"a@b.c OR d", "NOT a@b.c", "example.com"} {
		if f := hint(FieldFilter{"recipient", expr}); f.recipients != nil {
			t.Errorf("%s: %+v", expr, f)
		}
	}
	if f := hint(FieldFilter{"recipient", "a@b.c AND NOT d"}); !slices.Equal(f.recipients, []int64{Hash("A@b.c")}) {
		t.Errorf("%+v", f)
	}
	if f := hint(FieldFilter{"message-id", "<X@y>"}); !slices.Equal(f.msgids, []int64{Hash("x@Y")}) {
		t.Errorf("%+v", f)
	}
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{"a AND (b OR NOT \"c d\")", ">10 <20", "((", "NOT NOT a", "a\"b\"(c)", "\u00e4 OR <x@y>", "AND", ")", "\"\\\""} {
		f.Add("subject", s)
		f.Add("size", s)
	}
	f.Fuzz(func(t *testing.T, field, s string) {
		fl, err := NewFilter([]FieldFilter{{field, s}})
		if err != nil {
			if !errs.Is(err, errs.Invalid) {
				t.Fatal(err)
			}
			return
		}
		got := fl.Match(sampleDoc())
		if _, known := filterFields[field]; !known || strings.TrimSpace(s) == "" || filterFields[field].number != nil {
			return
		}
		if not, err := NewFilter([]FieldFilter{{field, "NOT (" + s + ")"}}); err == nil && not.Match(sampleDoc()) == got {
			t.Errorf("%q and its negation are both %v", s, got)
		}
		if got && fl.types != nil && !slices.Contains(fl.types, codes[Failed]) {
			t.Errorf("%q: the index would not find it", s)
		}
	})
}
