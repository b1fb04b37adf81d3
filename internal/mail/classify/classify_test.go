package classify

import (
	_ "embed"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

//go:embed testdata/replies.txt
var repliesText string

// sample is a reply as servers are known to word it and what it means.
type sample struct {
	line               int
	class, scope       string
	code               int
	enhanced, text, mx string
}

func samples(t testing.TB) (out []sample) {
	t.Helper()
	for i, line := range strings.Split(repliesText, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.SplitN(line, "|", 3)
		if len(f) != 3 {
			t.Fatalf("line %d: %q", i+1, line)
		}
		s := sample{line: i + 1, mx: strings.TrimSpace(f[1])}
		s.class, s.scope, _ = strings.Cut(strings.TrimSpace(f[0]), "/")
		if s.scope == "" {
			s.scope = "source"
		}
		code, rest, _ := strings.Cut(strings.TrimSpace(f[2]), " ")
		n, err := strconv.Atoi(code)
		if err != nil {
			t.Fatalf("line %d: %v", i+1, err)
		}
		s.code, s.text = n, rest
		if word, after, _ := strings.Cut(rest, " "); parseStatus(word).class != 0 {
			s.enhanced, s.text = word, after
		}
		out = append(out, s)
	}
	return out
}

func table(t testing.TB) *Table {
	t.Helper()
	tab, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func TestReplies(t *testing.T) {
	list := samples(t)
	if len(list) < 150 {
		t.Fatalf("only %d replies", len(list))
	}
	seen := map[string]bool{}
	for _, s := range list {
		v := Classify(s.code, s.enhanced, s.text, s.mx)
		seen[s.class] = true
		scope := v.Scope.String()
		if v.Class != RateLimited && v.Class != Blocklisted && s.scope == "source" {
			scope = "source" // it matters for those two only
		}
		if v.Class.String() != s.class || scope != s.scope {
			t.Errorf("line %d: %d %s %.70s\n\tgot %v/%v by %q, want %s/%s", s.line, s.code, s.enhanced, s.text, v.Class, v.Scope, v.Rule, s.class, s.scope)
		}
		if v.Class != Other && v.Class != Accepted && v.Rule == "" {
			t.Errorf("line %d: no rule named", s.line)
		}
	}
	for _, name := range classNames {
		if !seen[name] {
			t.Errorf("no reply of class %s", name)
		}
	}
}

// TestRepliesAnywhere: most texts mean the same where the host is not known to
// be a provider's, as behind a name of one's own.
func TestRepliesAnywhere(t *testing.T) {
	same, all := 0, 0
	for _, s := range samples(t) {
		all++
		if v := Classify(s.code, s.enhanced, s.text, ""); v.Class.String() == s.class {
			same++
		}
	}
	if same*100 < all*75 {
		t.Errorf("%d of %d texts mean the same without a host name", same, all)
	}
}

// TestFloor: what counted as a hard bounce by its numbers alone still does.
func TestFloor(t *testing.T) {
	for _, enhanced := range []string{"5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"} {
		for _, code := range []int{550, 551, 553, 554} {
			if v := Classify(code, enhanced, "no thanks", "mx.example.com"); !Hard(v.Class, code, false) {
				t.Errorf("%d %s is not hard: %v by %s", code, enhanced, v.Class, v.Rule)
			}
		}
		if v := Classify(450, "4"+enhanced[1:], "no thanks", ""); Hard(v.Class, 450, true) {
			t.Errorf("450 4%s is hard", enhanced[1:])
		}
	}
	for _, enhanced := range []string{"", "5.0.0"} {
		for _, code := range []int{550, 551, 552, 553, 554} {
			v := Classify(code, enhanced, "no thanks", "mx.example.com")
			rcpt := code != 552 && code != 554
			if Hard(v.Class, code, true) != rcpt || Hard(v.Class, code, false) {
				t.Errorf("%d %q: %v, hard %t, %t", code, enhanced, v.Class, Hard(v.Class, code, true), Hard(v.Class, code, false))
			}
		}
	}
	for _, enhanced := range []string{"5.7.1", "5.3.0", "5.4.4", "5.6.0", "5.2.2", "5.9.9"} {
		if v := Classify(550, enhanced, "no thanks", ""); Hard(v.Class, 550, true) {
			t.Errorf("550 %s is hard: %v", enhanced, v.Class)
		}
	}
	// The text knows better than the number.
	for _, text := range []string{"Spam message rejected", "blocked using zen.spamhaus.org", "mailbox is full", "DMARC policy of reject", "too many connections"} {
		if v := Classify(550, "", text, ""); Hard(v.Class, 550, true) {
			t.Errorf("550 %s is hard: %v by %s", text, v.Class, v.Rule)
		}
	}
}

func TestAddressesAreNotRead(t *testing.T) {
	for _, text := range []string{
		"<spam@example.com>... who is that", "user=virus@blacklist.example, who is that", "blocklist@dnsbl.example who is that",
		"who is that: \"quota exceeded\"@example.com",
	} {
		if v := Classify(550, "5.1.1", text, ""); v.Class != UnknownUser && !strings.Contains(text, "quota") {
			t.Errorf("%s: %v by %s", text, v.Class, v.Rule)
		}
	}
	if v := Classify(550, "", "<a@example.com>: listed at spamhaus <b@example.com>", ""); v.Class != Blocklisted {
		t.Errorf("text between addresses: %v", v.Class)
	}
}

func TestText(t *testing.T) {
	tests := []struct {
		code           int
		enhanced, text string
		want           Class
	}{
		{421, "", "TOO MANY\nCONNECTIONS", RateLimited},
		{421, "", "too many \n  connections", RateLimited},
		{421, "", "too many\tconnections", RateLimited},
		{421, "", "toomany connections", ServerBusy},
		{250, "", "too many connections", Accepted},
		{354, "", "too many connections", Other},
		{0, "", "too many connections", Other},
		{602, "", "too many connections", Other},
		{-1, "", "", Other},
		{450, "garbage", "", Other},
		{554, "", "(#5.1.1)", UnknownUser},
		{554, "", "see #17 and #5.2.2.", MailboxFull},
		{554, "5.7.1", "see #5.2.2.", Policy},
	}
	for _, tt := range tests {
		if v := Classify(tt.code, tt.enhanced, tt.text, ""); v.Class != tt.want {
			t.Errorf("%d %s %q: %v by %q, want %v", tt.code, tt.enhanced, tt.text, v.Class, v.Rule, tt.want)
		}
	}
}

func TestProviderByHost(t *testing.T) {
	tab := table(t)
	for mx, want := range map[string]string{
		"gmail-smtp-in.l.google.com": "google", "ASPMX.L.GOOGLE.COM.": "google", "google.com": "google", "notgoogle.com": "",
		"x.olc.protection.outlook.com": "microsoft", "mx.example": "", "": "", ".": "", strings.Repeat("a.", 200) + "google.com": "",
	} {
		got := ""
		if s := tab.provider(mx); s != nil {
			got = s.name
		}
		if got != want {
			t.Errorf("%q: %q, want %q", mx, got, want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"Greylisted for 300 seconds":            5 * time.Minute,
		"please try again in 5 minutes":         5 * time.Minute,
		"try again in 1 hour.":                  time.Hour,
		"come back in 00:04:59":                 4*time.Minute + 59*time.Second,
		"wait 60s and retry":                    time.Minute,
		"retry after 90 sec":                    90 * time.Second,
		"wait at least 15min":                   15 * time.Minute,
		"come back in 0 seconds":                0,
		"in 99999999999 seconds":                0,
		"in 100 hours":                          24 * time.Hour,
		"in 5 messages":                         0,
		"within 2 MINUTES":                      2 * time.Minute,
		"too many mails in the last 10 minutes": 0,
		"450 4.7.1 for 192.0.2.1":               0,
		"limit is 100 m, try again in 2 m":      2 * time.Minute,
		"":                                      0,
		"in 7":                                  0,
		"come back in 00:04":                    0,
		strings.Repeat(" ", maxText) + "please wait 10 minutes": 0,
	} {
		if got := retryAfter(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	if v := Classify(450, "4.2.0", "Greylisted for 42 seconds", ""); v.RetryAfter != 42*time.Second {
		t.Errorf("greylisted: %+v", v)
	}
	if v := Classify(450, "4.2.0", "Greylisted", ""); v.RetryAfter != 5*time.Minute {
		t.Errorf("greylisted without a time: %+v", v)
	}
	if v := Classify(550, "5.1.1", "user unknown, wait 5 minutes", ""); v.RetryAfter != 0 {
		t.Errorf("a wait where there is none: %+v", v)
	}
}

func TestLoadErrors(t *testing.T) {
	tests := []struct{ text, want string }{
		{"4xx | * | abc | other", "line 1: a rule before"},
		{"[*]\n\n4xx | * | abc", "line 3: 3 fields"},
		{"[*]\n4xx | * | abc | nonsense", `line 2: unknown class "nonsense"`},
		{"[*]\n4x | * | abc | other", `line 2: "4x" is no reply code`},
		{"[*]\nx4x | * | abc | other", "is no reply code"},
		{"[*]\n2xx | * | abc | other", "neither 4xx nor 5xx"},
		{"[*]\n4xx | 4.7 | abc | other", "is no enhanced status"},
		{"[*]\n4xx | 4.9-1.7 | abc | other", "is no enhanced status"},
		{"[*]\n4xx | 7.1.1 | abc | other", "is no enhanced status"},
		{"[*]\n4xx | * | ab | other", "too short"},
		{"[*]\n4xx | * | !abc | other", "only phrases that must not occur"},
		{"[*]\n4xx | * | abc | other | retry=x", "line 2: time: invalid duration"},
		{"[*]\n4xx | * | abc | other | retry=48h", "is not between"},
		{"[*]\n4xx | * | abc | other | scope=world", "unknown scope"},
		{"[*]\n4xx | * | abc | other | foo", "unknown hint"},
		{"[a]", "names no MX suffix"},
		{"[* google.com", "a section is"},
		{"[*] google.com", "has no MX suffixes"},
		{"[a] x.example\n[b] x.example", `line 2: the suffix "x.example" belongs to section "a"`},
	}
	for _, tt := range tests {
		if _, err := Load(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.text, err, tt.want)
		}
	}
	var many strings.Builder
	many.WriteString("[*]\n")
	for i := range maxPhrases + 1 {
		many.WriteString("4xx | * | phrase " + strconv.Itoa(i) + " | other\n")
	}
	if _, err := Load(many.String()); err == nil || !strings.Contains(err.Error(), "line 1026: more than 1024 phrases") {
		t.Errorf("too many phrases: %v", err)
	}
	if _, err := Load("[*]\n4xx | * | " + strings.Repeat("x", 70000) + " | other"); err == nil {
		t.Error("a phrase of 70,000 octets was taken")
	}
}

func TestRuleOrderAndConditions(t *testing.T) {
	tab, err := Load(`
# a comment
[p] p.example
4xx | *         | slow        | server-busy
[*]
4xx | *         | slow & down | rate-limited | retry=90s scope=sender connections
4xx | *         | slow & !fast | greylisted
5xx | 5.7.606-649,5.1.* | | blocklisted
5xx | -         |             | refused
450,550 | *     | both        | content
`)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		code               int
		enhanced, text, mx string
		want               Verdict
	}{
		{450, "", "slow down", "mx.p.example", Verdict{Class: ServerBusy, Rule: "p/slow"}},
		{450, "", "slow down", "", Verdict{Class: RateLimited, Scope: ScopeSender, Rule: "*/slow & down", RetryAfter: 90 * time.Second, Connections: true}},
		{450, "", "slow", "", Verdict{Class: Greylisted, Rule: "*/slow & !fast"}},
		{450, "", "slow fast", "", Verdict{}},
		{550, "5.7.606", "", "", Verdict{Class: Blocklisted, Rule: "*/5xx 5.7.606-649,5.1.*"}},
		{550, "5.7.650", "", "", Verdict{}},
		{550, "5.1.77", "", "mx.p.example", Verdict{Class: Blocklisted, Rule: "*/5xx 5.7.606-649,5.1.*"}},
		{550, "", "", "", Verdict{Class: Refused, Rule: "*/5xx -"}},
		{550, "5.7.1", "both", "", Verdict{Class: Content, Rule: "*/both"}},
		{450, "", "both", "", Verdict{Class: Content, Rule: "*/both"}},
		{451, "", "both", "", Verdict{}},
	}
	for _, tt := range tests {
		if got := tab.Classify(tt.code, tt.enhanced, tt.text, tt.mx); got != tt.want {
			t.Errorf("%d %s %s: %+v, want %+v", tt.code, tt.enhanced, tt.text, got, tt.want)
		}
	}
}

func TestNames(t *testing.T) {
	for c := range classes {
		got, err := ParseClass(c.String())
		if err != nil || got != c {
			t.Errorf("%v: %v, %v", c, got, err)
		}
	}
	if classes.String() != "class 17" || scopes.String() != "scope 5" {
		t.Errorf("%v %v", classes, scopes)
	}
}

// contains is what the automaton promises for one phrase, the slow way.
func contains(text, phrase string) bool {
	text = text[:min(len(text), maxText)]
	var b []byte
	from, to := address(text, 0)
	for i := 0; i < len(text); i++ {
		if i == from {
			b, i = append(b, 0), to-1
			from, to = address(text, to)
			continue
		}
		c := text[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c == '\n' || c == '\r' || c == '\t' {
			c = ' '
		}
		if c == ' ' && len(b) > 0 && b[len(b)-1] == ' ' {
			continue
		}
		b = append(b, c)
	}
	return strings.Contains(string(b), phrase)
}

// checkScan compares the automaton with contains for every phrase.
func checkScan(t *testing.T, tab *Table, text string) {
	t.Helper()
	var have phraseSet
	tab.words.scan(text, &have)
	for p, n := range tab.phrases {
		if have.has(n) != contains(text, p) {
			t.Errorf("%q in %q: %t", p, text, have.has(n))
		}
	}
}

func TestScan(t *testing.T) {
	tab := table(t)
	for i, s := range samples(t) {
		if i%3 == 0 {
			checkScan(t, tab, s.text)
		}
	}
	for _, p := range slices.Sorted(mapKeys(tab.phrases)) {
		if !strings.Contains(p, "@") {
			checkOne(t, tab, p)
		}
	}
}

// checkOne: every phrase is found in itself, wherever it stands.
func checkOne(t *testing.T, tab *Table, p string) {
	t.Helper()
	for _, text := range []string{p, "x" + p + "x", strings.ToUpper(p), p[:len(p)-1] + " " + p} {
		var have phraseSet
		tab.words.scan(text, &have)
		if !have.has(tab.phrases[p]) {
			t.Errorf("%q is not found in %q", p, text)
		}
	}
}

func mapKeys(m map[string]uint16) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func FuzzClassify(f *testing.F) {
	for _, s := range samples(f) {
		f.Add(s.code, s.enhanced, s.text, s.mx)
	}
	f.Add(550, "5.1.1", strings.Repeat("@", 2000), "")
	f.Add(450, "4.7.1", strings.Repeat("in 1", 500), strings.Repeat(".", 300))
	tab := table(f)
	f.Fuzz(func(t *testing.T, code int, enhanced, text, mx string) {
		v := tab.Classify(code, enhanced, text, mx)
		if v.Class >= classes || v.Scope >= scopes || v.RetryAfter < 0 || v.RetryAfter > maxRetry {
			t.Fatalf("%+v", v)
		}
		if Hard(v.Class, code, true) && (code < 500 || code > 599) {
			t.Fatalf("%d is hard", code)
		}
		if again := tab.Classify(code, enhanced, text, mx); again != v {
			t.Fatalf("%+v, then %+v", v, again)
		}
		checkScan(t, tab, text)
	})
}

func FuzzLoad(f *testing.F) {
	f.Add("[*]\n4xx | * | slow & !fast | rate-limited | retry=90s scope=sender\n")
	f.Add("[p] a.example b.example\n5xx,421 | x.7.1-9,- | | policy\n# end")
	f.Add("[*\n4xx | 4.* | | |")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4096 {
			return
		}
		tab, err := Load(text)
		if err != nil {
			if tab != nil && tab.words != nil {
				t.Fatal("a table with an error")
			}
			return
		}
		tab.Classify(450, "4.7.1", text, "mx.example.com")
		tab.Classify(550, "", text, "a.example")
	})
}

func BenchmarkClassify(b *testing.B) {
	tab := table(b)
	plain := strings.Repeat("qz nothing that anybody would know. ", 14)
	hostile := strings.Repeat("too many messages spamhaus block list #5. in 1 @a ", 20)
	for _, bb := range []struct {
		name, enhanced, text, mx string
		code                     int
	}{
		{"accepted", "2.0.0", "Ok: queued as 4F3", "gmail-smtp-in.l.google.com", 250},
		{"short", "", "no", "mx.example.com", 450},
		{"nomatch500", "", plain[:500], "gmail-smtp-in.l.google.com", 450},
		{"hostile500", "", hostile[:500], "mx.example.com", 554},
		{"gmail", "4.7.28", "Gmail has detected an unusual rate of mail originating from your IP address 192.0.2.25. To protect our users from spam, mail has been temporarily rate limited.", "gmail-smtp-in.l.google.com", 421},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				tab.Classify(bb.code, bb.enhanced, bb.text, bb.mx)
			}
		})
	}
}
