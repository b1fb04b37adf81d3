package handlebars

import (
	"strings"
	"testing"
)

// sample is a letter as shops send them: 10 KB with inline styles, a table of
// what was ordered, and every helper.
var sample = head + strings.Repeat(cell, 18) + tail

const head = `<!DOCTYPE html>
<html lang="{{lang}}"><head><meta charset="utf-8"><title>{{title}}</title></head>
<body style="margin:0;padding:0;background:#f4f4f4;font-family:Helvetica,Arial,sans-serif">
{{!-- preheader --}}
<div style="display:none">{{preheader}}</div>
{{#with customer}}
<h1 style="font-size:24px">Hello {{firstName}} {{lastName}},</h1>
<p>We write to {{email}}; your account is {{#equal ../tier "premium"}}premium{{else}}basic{{/equal}}.</p>
{{/with}}
{{#unless paid}}<p class="warning">Payment pending: <a href="{{{payUrl}}}">pay now</a></p>{{else}}<p>Paid.</p>{{/unless}}
<table>
{{#each items as |item i|}}
<tr class="{{#if @first}}first{{/if}}{{#if @last}}last{{/if}}"><td>{{i}}</td><td>{{item.name}}</td><td>{{item.quantity}}</td><td>{{item.price}} {{../currency}}</td></tr>
{{else}}
<tr><td>Nothing</td></tr>
{{/each}}
</table>
{{#if spanish}}<p>Gracias</p>{{else if french}}<p>Merci</p>{{else}}<p>Thank you, {{customer.firstName}}!</p>{{/if}}
`

const cell = `<table role="presentation" cellspacing="0" cellpadding="0" border="0" align="center" width="100%" style="max-width:600px;margin:auto">
<tr><td style="padding:20px;background-color:#ffffff;font-size:15px;line-height:20px;color:#555555"><p style="margin:0 0 10px">A paragraph of the letter to {{customer.firstName}} that says what is to be said about {{topic}}, as letters do.</p>
<a href="https://shop.example/{{lang}}/offers?c={{campaign}}" style="background:#222222;padding:13px 17px;color:#ffffff;border-radius:4px">Read more</a></td></tr></table>
`

const tail = `<p style="font-size:12px">{{company.name}}, {{company.address.street}}, {{company.address.city}}</p></body></html>
`

const sampleData = `{"lang":"en","title":"Your order","preheader":"Order 12345 is on its way","tier":"premium","paid":false,
"payUrl":"https://shop.example/pay?o=12345&k=abc","currency":"EUR","spanish":false,"french":false,"topic":"shoes & socks","campaign":"autumn",
"customer":{"firstName":"Maria","lastName":"O'Neill","email":"maria@example.com"},
"company":{"name":"Shop","address":{"street":"Main St 1","city":"Springfield"}},
"items":[{"name":"Headphones","quantity":1,"price":"79.99"},{"name":"Phone Case","quantity":2,"price":"24.99"},{"name":"USB Cable","quantity":3,"price":"12.99"},
{"name":"Stand","quantity":1,"price":"19.99"},{"name":"Bag","quantity":1,"price":"49.99"}]}`

func BenchmarkRender10K(b *testing.B) {
	if n := len(sample); n < 10_000 || n > 16_000 {
		b.Fatalf("sample of %d bytes", n)
	}
	tpl, err := Parse(sample)
	if err != nil {
		b.Fatal(err)
	}
	data := mustJSON(b, sampleData)
	b.SetBytes(int64(len(sample)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tpl.Render(nil, data, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

// With the data read each time, as a message brings it.
func BenchmarkDataAndRender10K(b *testing.B) {
	tpl, err := Parse(sample)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		data, err := JSON([]byte(sampleData))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := tpl.Render(nil, data, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse10K(b *testing.B) {
	b.SetBytes(int64(len(sample)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(sample); err != nil {
			b.Fatal(err)
		}
	}
}
