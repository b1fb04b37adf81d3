package main

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"strings"
	"time"

	"postroad/internal/mail/handlebars"
)

// render measures filling a stored template of 10 KB, parsed once as the program
// keeps it, with the data of a message read each time, in processor time of one
// core.
type render struct{ out string }

const kindRender = "render"

func defineRender(f *flag.FlagSet) func(context.Context) error {
	var r render
	f.StringVar(&r.out, "out", "", "file JSON lines are appended to")
	return func(ctx context.Context) error { return single(ctx, r.out, r.run) }
}

// letter is a newsletter with inline styles: a greeting, a table of what was
// ordered, paragraphs with links.
func letter() string {
	const paragraph = `<table role="presentation" cellspacing="0" cellpadding="0" border="0" width="100%" style="max-width:600px;margin:auto"><tr><td style="padding:20px;background:#ffffff;font-size:15px;line-height:20px">
<p style="margin:0 0 10px">{{#if first}}Dear {{first}}{{else}}Hello{{/if}}, what there is to say about {{topic}} is said here, as letters say it.</p><a href="https://shop.example/offers?c={{campaign}}" style="background:#222222;color:#ffffff">Read more</a></td></tr></table>
`
	return "<!DOCTYPE html><html><body>" + strings.Repeat(paragraph, 20) + `<table>{{#each items as |item|}}<tr class="{{#if @first}}first{{/if}}"><td>{{item.name}}</td><td>{{item.price}}</td></tr>{{else}}<tr><td>Nothing</td></tr>{{/each}}</table></body></html>`
}

const letterData = `{"first":"Maria","topic":"shoes & socks","campaign":"autumn","items":[{"name":"Headphones","price":"79.99"},{"name":"Case","price":"24.99"},{"name":"Cable","price":"12.99"}]}`

func (r *render) run(_ context.Context, to *report) error {
	text := letter()
	t, err := handlebars.Parse(text)
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start, err := threadTime()
	if err != nil {
		return err
	}
	for n := 1; ; n++ {
		data, err := handlebars.JSON([]byte(letterData))
		if err == nil {
			_, err = t.Render(nil, data, handlebars.Options{})
		}
		if err != nil {
			return err
		}
		now, err := threadTime()
		if err != nil {
			return err
		}
		if spent := now - start; spent >= 2*time.Second {
			return to.add(result{Kind: kindRender, System: fmt.Sprintf("Postroad, template of %d bytes", len(text)),
				Figures: []figure{{"renders per core", float64(n) / spent.Seconds(), "/s"}}})
		}
	}
}
