package handlebars

import (
	"errors"
	"strings"
	"sync"
	"testing"
)

func mustJSON(t testing.TB, s string) Value {
	t.Helper()
	v, err := JSON([]byte(s))
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return v
}

func render(t testing.TB, src, data string) string {
	t.Helper()
	tpl, err := Parse(src)
	if err != nil {
		t.Fatalf("%q: %v", src, err)
	}
	out, err := tpl.Render(nil, mustJSON(t, data), Options{})
	if err != nil {
		t.Fatalf("%q: %v", src, err)
	}
	return string(out)
}

func TestRender(t *testing.T) {
	const people = `{"people":[{"name":"Ann","tags":["a","b"]},{"name":"Bob","tags":[]}],"title":"T","m":{"b":1,"a":2}}`
	tests := []struct{ name, src, data, want string }{
		{"nothing", "", `{}`, ""},
		{"text", "a } {b", `{}`, "a } {b"},
		{"value", "Hi {{name}}!", `{"name":"Ann"}`, "Hi Ann!"},
		{"no value", "[{{name}}]", `{}`, "[]"},
		{"null", "[{{x}}]", `{"x":null}`, "[]"},
		{"escaped", "{{x}}", "{\"x\":\"&<>\\\"'`=a\"}", "&amp;&lt;&gt;&quot;&#x27;&#x60;&#x3D;a"},
		{"three braces", "{{{x}}}{{{ x }}}", `{"x":"<b>"}`, "<b><b>"},
		{"ampersand", "{{&x}}{{& x }}", `{"x":"<b>"}`, "<b><b>"},
		{"numbers", "{{a}} {{b}} {{c}} {{d}} {{e}}", `{"a":1.50,"b":1e3,"c":12345678901234567890,"d":-0,"e":-0.0}`, "1.5 1000 12345678901234567890 0 0"},
		{"booleans", "{{a}} {{b}}", `{"a":true,"b":false}`, "true false"},
		{"list", "{{x}}", `{"x":["<",1,[true,null]]}`, "&lt;1true"},
		{"object", "{{x}}", `{"x":{"a":1}}`, "[object Object]"},
		{"path", "{{a.b.c}} {{a/b/c}} {{this.a.b.c}} {{./a.b.c}}", `{"a":{"b":{"c":1}}}`, "1 1 1 1"},
		{"path into nothing", "{{a.b.c}}", `{"a":1}`, ""},
		{"item", "{{x.[1]}} {{x.0}} {{x.[7]}} {{x.length}}", `{"x":["a","b"]}`, "b a  2"},
		{"name with blanks", "{{a.[some key]}} {{[x y]}}", `{"a":{"some key":1},"x y":2}`, "1 2"},
		{"length of a text", "{{x.length}}", `{"x":"äö"}`, "2"},
		{"member called length", "{{x.length}}", `{"x":{"length":"l"}}`, "l"},
		{"names", "{{a-b}}{{c:d}}{{$e}}{{ä}}{{_f1}}", `{"a-b":1,"c:d":2,"$e":3,"ä":4,"_f1":5}`, "12345"},
		{"this", "{{this}}{{.}}", `"x"`, "xx"},
		{"literals", `{{#if "x"}}a{{/if}}{{#if ""}}b{{/if}}{{#if 0}}c{{/if}}{{#if 1.5}}d{{/if}}{{#if null}}e{{/if}}{{#if undefined}}f{{/if}}{{#if true}}g{{/if}}`, `{}`, "adg"},
		{"quotes in a text", `{{#equal x "a\"b"}}y{{/equal}}{{#equal x 'a"b'}}z{{/equal}}`, `{"x":"a\"b"}`, "yz"},

		{"if", "{{#if a}}1{{/if}}{{#if b}}2{{else}}3{{/if}}", `{"a":1}`, "13"},
		{"else if", "{{#if a}}1{{else if b}}2{{else if c}}3{{else}}4{{/if}}", `{"c":true}`, "3"},
		{"else unless", "{{#if a}}1{{else unless b}}2{{else}}3{{/if}}", `{}`, "2"},
		{"else each", "{{#if a}}1{{else each b as |x|}}{{x}}{{a}}{{else}}3{{/if}}{{x}}", `{"b":[5,6],"x":7}`, "567"},
		{"last else", "{{#if a}}1{{else if b}}2{{else}}3{{/if}}", `{}`, "3"},
		{"^ as else", "{{#if a}}1{{^}}2{{/if}}", `{}`, "2"},
		{"falsy", `{{#each x}}{{#if this}}1{{else}}0{{/if}}{{/each}}`, `{"x":[0,"",false,null,[],0.0,1,"0"," ",true,[0],{},-1]}`, "0000001111111"},
		{"includeZero", "{{#if x includeZero=true}}1{{/if}}{{#if x includeZero=false}}2{{/if}}{{#unless x includeZero=true}}3{{/unless}}", `{"x":0}`, "1"},
		{"unless", "{{#unless a}}1{{else}}2{{/unless}}", `{"a":[]}`, "1"},
		{"inverse of if", "{{^if a}}1{{else}}2{{/if}}", `{}`, "1"},

		{"each", "{{#each people}}{{name}}{{#each tags}}<{{this}}>{{else}}-{{/each}};{{/each}}", people, "Ann<a><b>;Bob-;"},
		{"each with index", "{{#each people}}{{@index}}{{@key}}{{#if @first}}f{{/if}}{{#if @last}}l{{/if}}{{/each}}", people, "00f11l"},
		{"each of an object", "{{#each m}}{{@index}}{{@key}}={{this}} {{/each}}", people, "0b=1 1a=2 "},
		{"each of nothing", "{{#each x}}1{{else}}2{{/each}}{{#each title}}1{{else}}3{{/each}}", people, "23"},
		{"parent", "{{#each people}}{{../title}}{{#each tags}}{{../name}}{{../../title}}{{/each}}{{/each}}", people, "TAnnTAnnTT"},
		{"beyond the parents", "[{{../x}}{{#each people}}{{../../../x}}{{/each}}]", people, "[]"},
		{"parent past if", "{{#each people}}{{#if name}}{{../title}}{{/if}}{{/each}}", people, "TT"},
		{"parent of data", "{{#each people}}{{#each tags}}{{@../index}}{{@index}} {{/each}}{{/each}}", people, "00 01 "},
		{"data outside of loops", "[{{@index}}{{@key}}{{@nothing}}]", people, "[]"},
		{"index in with", "{{#each people}}{{#with name}}{{@index}}{{/with}}{{/each}}", people, "01"},
		{"root", "{{#each people}}{{@root.title}}{{@root.people.0.name}}{{/each}}", people, "TAnnTAnn"},
		{"block parameters", "{{#each people as |p i|}}{{i}}{{p.name}}{{#each p.tags as |t|}}{{t}}{{i}}{{p.name}}{{/each}}{{/each}}", people, "0Anna0Annb0Ann1Bob"},
		{"block parameter of an object", "{{#each m as |v k|}}{{k}}{{v}}{{/each}}", people, "b1a2"},
		{"block parameter and member", "{{#each people as |name|}}{{this.name}}{{./name}}{{#with name}}{{name.name}}{{/with}} {{/each}}", people, "AnnAnnAnn BobBobBob "},
		{"block parameter ends with its part", "{{#with x as |y|}}1{{else}}{{y}}{{/with}}", `{"y":2}`, "2"},
		{"with", "{{#with people.[0]}}{{name}}{{../title}}{{else}}none{{/with}}{{#with x}}1{{else}}none{{/with}}", people, "AnnTnone"},
		{"with as", "{{#with people.[1] as |p|}}{{p.name}}{{/with}}", people, "Bob"},
		{"with zero", "{{#with x}}{{this}}{{/with}}", `{"x":0}`, "0"},

		{"equal", `{{#equal a "5"}}1{{/equal}}{{#equal b 5}}2{{/equal}}{{#equal a b}}3{{/equal}}{{#equal a 6}}4{{else}}5{{/equal}}`, `{"a":5,"b":"5"}`, "1235"},
		{"equal of others", `{{#equal a "true"}}1{{/equal}}{{#equal b ""}}2{{/equal}}{{#equal c "12"}}3{{/equal}}{{#equal c d}}4{{/equal}}`, `{"a":true,"c":[1,2],"d":[1,3]}`, "123"},
		{"else equal", `{{#equal a "x"}}1{{else equal a "y"}}2{{else}}3{{/equal}}`, `{"a":"y"}`, "2"},
		{"lookup", `{{lookup m "a"}}{{lookup people 1}}{{lookup m k}}{{lookup m null}}`, people, "2[object Object]"},
		{"calls", `{{#if (equal title "T")}}1{{/if}}{{#with (lookup people 0)}}{{name}}{{/with}}{{lookup (lookup people 1) "name"}}`, people, "1AnnBob"},

		{"section of a list", "{{#people}}{{name}}{{@index}}{{../title}}{{/people}}", people, "Ann0TBob1T"},
		{"section of an object", "{{#m}}{{a}}{{../title}}{{/m}}", people, "2T"},
		{"section of true", "{{#x}}{{y}}{{#z}}{{../y}}{{/z}}{{/x}}", `{"x":true,"y":1,"z":{}}`, "11"},
		{"section of a text", "{{#x}}{{this}}{{/x}}", `{"x":"a"}`, "a"},
		{"section of nothing", "{{#x}}1{{else}}2{{/x}}{{#y}}3{{/y}}{{#z.a}}{{^}}4{{/z.a}}", `{"y":[]}`, "24"},
		{"inverted section", "{{^x}}1{{/x}}{{^y}}2{{else}}3{{/y}}", `{"y":[1]}`, "13"},
		{"section with parameters", "{{#people as |p i|}}{{i}}{{p.name}}{{/people}}", people, "0Ann1Bob"},

		{"comments", "a{{! x }}b{{!-- {{x}} --}}c{{!--}}d{{!x--}}e", `{}`, "abcde"},
		{"blanks", "a {{~x~}} b {{~#if x~}} c {{~else~}} d {{~/if~}} e {{~{x}~}} {{&x}}", `{"x":1}`, "a1bce11"},
		{"blanks of a comment", "a {{~! x ~}} b{{!-- x --~}} c", `{}`, "abc"},
		{"alone", "a\n  {{#if x}}  \n b\n{{else}}\n c\n {{/if}}\t\nd\n", `{"x":1}`, "a\n b\nd\n"},
		{"alone with CRLF", "a\r\n{{#if x}}\r\nb\r\n{{/if}}\r\nc", `{"x":1}`, "a\r\nb\r\nc"},
		{"alone at the ends", "{{#if x}}\nb\n{{/if}}", `{"x":1}`, "b\n"},
		{"alone after blanks", "  {{#if x}}\nb\n  {{/if}}  ", `{"x":1}`, "b\n"},
		{"comment alone", "a\n {{! x }} \nb", `{}`, "a\nb"},
		{"not alone", "a {{#if x}}\nb{{/if}} \nc", `{"x":1}`, "a \nb \nc"},
		{"two in a line", "{{#if x}}{{#if x}}\na\n{{/if}}{{/if}}\n", `{"x":1}`, "\na\n\n"},
		{"value in its line", "a\n  {{x}}  \nb", `{"x":1}`, "a\n  1  \nb"},
		{"one line after another", "{{#if x}}\n{{#if x}}\na\n{{/if}}\n{{/if}}\n", `{"x":1}`, "a\n"},
		{"backslash", `\{{x}} \\{{x}} \{{{x}}} a\b`, `{"x":1}`, `{{x}} \1 {{{x}}} a\b`},
		{"placeholders", "Hi {{name}}", `{"name":"%recipient.first%"}`, "Hi %recipient.first%"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := render(t, tt.src, tt.data); got != tt.want {
				t.Errorf("%q with %s\n got %q\nwant %q", tt.src, tt.data, got, tt.want)
			}
		})
	}
}

func TestPlain(t *testing.T) {
	tpl, err := Parse("{{x}} {{{x}}}")
	if err != nil {
		t.Fatal(err)
	}
	out, err := tpl.Render([]byte("Re: "), mustJSON(t, `{"x":"R&D"}`), Options{Plain: true})
	if string(out) != "Re: R&D R&D" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
}

func TestParseErrors(t *testing.T) {
	deep := strings.Repeat("{{#if x}}", maxDepth+1)
	tests := []struct {
		src, text    string
		line, column int
	}{
		{"a\n\nb ä {{/if}}", "{{/if}} closes nothing", 3, 5},
		{"\n  {{#if x}}\nab", "{{#if x}} of line 2 column 3 is not closed: expected {{/if}}", 3, 3},
		{"{{#if x}}{{else if y}}", "{{#if x}} of line 1 column 1 is not closed: expected {{/if}}", 1, 23},
		{"{{#if x}}{{/each}}", "{{/each}} does not close {{#if x}} of line 1 column 1", 1, 10},
		{"{{^x}}{{/y}}", "{{/y}} does not close {{^x}} of line 1 column 1", 1, 7},
		{"{{else}}", "{{else}} is in no block", 1, 1},
		{"{{#if x}}{{else}}{{else}}{{/if}}", "{{else}} after {{else}}", 1, 18},
		{"{{#if x}}{{else}}{{else if y}}{{/if}}", "{{else}} after {{else}}", 1, 18},
		{"{{x", "tag is not closed: expected }}", 1, 1},
		{"{{{x}}", "tag is not closed: expected }}}", 1, 1},
		{"{{! x", "comment is not closed: expected }}", 1, 1},
		{"{{!-- x }}", "comment is not closed: expected --}}", 1, 1},
		{"{{}}", "expected a name in the tag", 1, 1},
		{"{{#}}{{/}}", "expected a name in the tag", 1, 1},
		{"{{> header}}", "partials {{> are not supported", 1, 1},
		{"{{#> header}}", "partials and decorators {{#> are not supported", 1, 1},
		{"{{* x}}", "decorators {{* are not supported", 1, 1},
		{"{{{{raw}}}}", "raw blocks {{{{ are not supported", 1, 1},
		{"{{log x}}", "unknown helper log", 1, 3},
		{"a\n{{#include \"/etc/passwd\"}}{{/include}}", "unknown helper include", 2, 4},
		{"{{x a=1}}", "unknown named argument a", 1, 5},
		{"{{#each x includeZero=true}}{{/each}}", "each takes no named arguments", 1, 11},
		{"{{if x}}", "if is a block helper: expected {{#if ...}}", 1, 1},
		{"{{#lookup a b}}{{/lookup}}", "lookup is no block helper: expected {{lookup a b}}", 1, 1},
		{"{{lookup a}}", "lookup takes two arguments", 1, 1},
		{"{{#if}}{{/if}}", "if takes one argument", 1, 1},
		{"{{#equal a}}{{/equal}}", "equal takes two arguments", 1, 1},
		{"{{#if a as |b|}}{{/if}}", "too many block parameters", 1, 1},
		{"{{#with a as |b c|}}{{/with}}", "too many block parameters", 1, 1},
		{"{{#each a as |b c d|}}{{/each}}", "expected one or two block parameters", 1, 11},
		{"{{#each a as |b}}{{/each}}", "block parameters are not closed: expected as |a b|", 1, 11},
		{"{{x as |y|}}", "block parameters belong to blocks: {{#each}}, {{#with}}", 1, 1},
		{"{{a/../b}}", "../ stands at the beginning of a path only", 1, 5},
		{"{{a..b}}", "expected a name instead of '.'", 1, 5},
		{"{{a.this}}", "this stands at the beginning of a path only", 1, 5},
		{"{{a.}}", "expected a name", 1, 5},
		{"{{a b!}}", "unexpected '!'", 1, 6},
		{"{{a%b}}", "unexpected '%'", 1, 4},
		{"{{(log x)}}", "unknown helper (log: only lookup and equal can be called in parentheses", 1, 4},
		{"{{(lookup x)}}", "lookup takes two arguments", 1, 3},
		{"{{(lookup x y z)}}", "expected ) after two arguments of lookup", 1, 15},
		{deep, "blocks are nested more than 100 levels deep", 1, 901},
		{"{{a" + strings.Repeat(".a", 51) + "}}", "path is too long", 1, 103},
		{"{{" + strings.Repeat("(lookup ", 11) + "}}", "calls are nested more than 10 levels deep", 1, 83},
		{"{{a \xff}}", "expected a name instead of '\uFFFD'", 1, 5},
	}
	for _, tt := range tests {
		_, err := Parse(tt.src)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%.40q: %v", tt.src, err)
			continue
		}
		if e.Text != tt.text || e.Line != tt.line || e.Column != tt.column {
			t.Errorf("%.40q: %v; want %s, line %d column %d", tt.src, e, tt.text, tt.line, tt.column)
		}
	}
}

func TestLimits(t *testing.T) {
	nested := func(n int) string {
		return strings.Repeat("{{#each @root.x}}", n) + "{{#if y}}a{{/if}}" + strings.Repeat("{{/each}}", n)
	}
	ten := `{"x":[0,1,2,3,4,5,6,7,8,9],"s":"` + strings.Repeat("s", 10_000) + `","t":"` + strings.Repeat("s", 10_000) + `","e":[` + strings.Repeat(`"",`, 50_000) + `""]}`
	tests := []struct {
		name, src string
		want      error
		line      int
	}{
		{"steps", "\n" + nested(12), ErrSteps, 2},
		{"output", "{{#each x}}{{#each @root.x}}{{#each @root.x}}{{@root.s}}{{/each}}{{/each}}{{/each}}", ErrOutput, 1},
		{"comparing", strings.Repeat("{{#each @root.x}}", 5) + "{{#equal @root.s @root.t}}{{/equal}}" + strings.Repeat("{{/each}}", 5), ErrSteps, 1},
		{"comparing lists", strings.Repeat("{{#each @root.x}}", 4) + "{{#equal @root.e @root.e}}{{/equal}}" + strings.Repeat("{{/each}}", 4), ErrSteps, 1},
		{"printing nothing", strings.Repeat("{{#each @root.x}}", 5) + "{{@root.e}}" + strings.Repeat("{{/each}}", 5), ErrSteps, 1},
		{"measuring", strings.Repeat("{{#each @root.x}}", 5) + "{{#if @root.s.length}}{{/if}}" + strings.Repeat("{{/each}}", 5), ErrSteps, 1},
		{"looking up", strings.Repeat("{{#each @root.x}}", 5) + "{{lookup @root @root.s}}" + strings.Repeat("{{/each}}", 5), ErrSteps, 1},
	}
	data := mustJSON(t, ten)
	for _, tt := range tests {
		tpl, err := Parse(tt.src)
		if err != nil {
			t.Fatal(tt.name, err)
		}
		out, err := tpl.Render(nil, data, Options{})
		var e *Error
		if out != nil || !errors.Is(err, tt.want) || !errors.As(err, &e) || e.Line != tt.line {
			t.Errorf("%s: %d bytes, %v", tt.name, len(out), err)
		}
	}
	tpl, err := Parse("{{#if a}}" + strings.Repeat("{{else if a}}", 10_000) + "{{/if}}")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tpl.Render(nil, data, Options{MaxSteps: 10_000}); !errors.Is(err, ErrSteps) {
		t.Errorf("a long chain: %v", err)
	}
	tpl, err = Parse("{{x}}")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := tpl.Render(nil, mustJSON(t, `{"x":"12345"}`), Options{MaxOutput: 5}); string(out) != "12345" || err != nil {
		t.Errorf("as much as is allowed: %q, %v", out, err)
	}
	if _, err := tpl.Render(nil, mustJSON(t, `{"x":"123456"}`), Options{MaxOutput: 5}); !errors.Is(err, ErrOutput) {
		t.Errorf("one too many: %v", err)
	}
}

func TestJSON(t *testing.T) {
	for _, bad := range []string{"", "{", `{"a":}`, "[1,]", "1 2", `{"a" 1}`, "{1:2}", "nul", strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1)} {
		if _, err := JSON([]byte(bad)); err == nil {
			t.Errorf("%.20q is taken", bad)
		}
	}
	many := &strings.Builder{}
	for i := range 300 {
		many.WriteString(`"k` + strings.Repeat("x", i%150) + `":` + strings.Repeat("1", 1+i%9) + ",")
	}
	v := mustJSON(t, "{"+many.String()+`"last":1}`)
	if n := len(v.sub.items); n != 151 || len(v.sub.names) != n {
		t.Errorf("%d members, want 151: repeated ones count once", n)
	}
	if got := v.get("kxxx"); got.text != "1" {
		t.Errorf("the second of a name does not win: %q", got.text)
	}
}

func TestConcurrent(t *testing.T) {
	tpl, err := Parse(sample)
	if err != nil {
		t.Fatal(err)
	}
	data := mustJSON(t, sampleData)
	want, err := tpl.Render(nil, data, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if got, err := tpl.Render(nil, data, Options{}); string(got) != string(want) || err != nil {
					t.Errorf("another result: %v", err)
				}
			}
		})
	}
	wg.Wait()
}
