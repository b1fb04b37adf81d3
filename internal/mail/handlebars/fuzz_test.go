package handlebars

import (
	"errors"
	"testing"
	"unicode/utf8"
)

// FuzzTemplate: no template and no data make the parser or a rendering panic,
// hang or grow, and errors name a place in the template.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{sample, `{{#each x as |a b|}}{{a}}{{@../index}}{{else each y}}{{^}}{{/each}}`, `{{~#if (equal x "y\"z")~}} \{{x}} \\{{&x}}{{/if}}`,
		"{{!-- --~}}{{^x.[a b]}}\n{{/x.[a b]}}", "{{#x}}{{../this}}{{else}}{{/x}}", "{{lookup @root 'a'}}{{#if 1.5 includeZero=true}}{{/if}}", "{{{x}}", "{{#a}}{{/b}}"} {
		f.Add(s, sampleData)
		f.Add(s, `{"x":[{"y":[1,"2",null]},true],"a":{"b":{}}}`)
	}
	f.Fuzz(func(t *testing.T, src, data string) {
		v, err := JSON([]byte(data))
		if err != nil {
			v = textValue(data)
		}
		tpl, err := Parse(src)
		if err == nil {
			for _, plain := range []bool{false, true} {
				var out []byte
				if out, err = tpl.Render(nil, v, Options{Plain: plain, MaxOutput: 10_000, MaxSteps: 10_000}); len(out) > 10_000 {
					t.Errorf("%d bytes", len(out))
				}
			}
		}
		var e *Error
		if err != nil && (!errors.As(err, &e) || e.Line < 1 || e.Column < 1 || e.Column > utf8.RuneCountInString(src)+1 || e.Text == "") {
			t.Errorf("error %+v", err)
		}
	})
}
