package message

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"postroad/internal/base/errs"
	"postroad/internal/base/netx"
	"postroad/internal/core/queue"
	"postroad/internal/mail/addr"
)

// ways are how an option reaches a message; each gives the draft of a message to
// a@b.com with the values given.
var ways = map[string]func(t *testing.T, form, header string, values []string) (*draft, error){
	"parameter": func(t *testing.T, form, _ string, given []string) (*draft, error) {
		return parse(t, base(pairs(form, given)...))
	},
	"h: parameter": func(t *testing.T, _, header string, given []string) (*draft, error) {
		return parse(t, base(pairs("h:"+header, given)...))
	},
	"messages.mime, parameter": func(t *testing.T, form, _ string, given []string) (*draft, error) {
		return fromFile(t, withFile(values(append(pairs(form, given), "to", "a@b.com")...), plainMessage))
	},
	"messages.mime, header": func(t *testing.T, _, header string, given []string) (*draft, error) {
		return fromFile(t, withFile(values("to", "a@b.com"), lines(header, given)+plainMessage))
	},
	"SMTP": func(_ *testing.T, _, header string, given []string) (*draft, error) {
		return overSMTP(lines(header, given)+plainMessage, "a@b.com")
	},
	"SMTP, outside a container": func(_ *testing.T, _, header string, given []string) (*draft, error) {
		return overSMTP(lines(header, given)+boxedMessage("{}", plainMessage), "a@b.com")
	},
}

const plainMessage = "From: Me <me@ex.com>\r\nTo: a@b.com\r\nSubject: S\r\n\r\nT\r\n"

func boxedMessage(json, message string) string {
	return "Content-Type: multipart/mailgun-variables; boundary=\"8686cc\"\r\nMime-Version: 1.0\r\nFrom: outer@ex.com\r\nSubject: outer\r\n\r\n" +
		"--8686cc\r\nMime-Version: 1.0\r\nContent-Type: application/json\r\n\r\n" + json + "\r\n" +
		"--8686cc\r\nContent-Type: message/rfc822\r\nMime-Version: 1.0\r\n\r\n" + message + "\r\n--8686cc--\r\n"
}

func pairs(name string, list []string) (out []string) {
	for _, v := range list {
		out = append(out, name, v)
	}
	return out
}

func lines(name string, list []string) (out string) {
	for _, v := range list {
		out += name + ": " + v + "\r\n"
	}
	return out
}

func fromFile(t *testing.T, f *fields) (*draft, error) {
	t.Helper()
	r, err := readForm(f, 25<<20, plenty(), nil)
	if err != nil {
		return nil, err
	}
	return fromMIMEForm(r, testDomain(), testNow, letterTemplate)
}

func overSMTP(raw string, to ...string) (*draft, error) {
	var list []addr.Address
	for _, v := range to {
		a, err := addr.Parse(v)
		if err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return fromSMTP([]byte(raw), list, testDomain(), testNow, letterTemplate)
}

// TestHeaderTwins: every row of the table of sending options does the same by
// whatever way it comes. What is compared is all that decides about delivery and
// events: the options, the variables and the deliveries.
func TestHeaderTwins(t *testing.T) {
	for _, c := range []struct {
		form, header string
		values       []string
		options      string // as they are stored
		stays        string // value of the header field in the delivered message
	}{
		{"o:tag", "X-Mailgun-Tag", []string{"news", "May"}, `{"tag":["news","May"]}`, "news"},
		{"o:dkim", "X-Mailgun-Dkim", []string{"no"}, `{"dkim":false}`, ""},
		{"o:testmode", "X-Mailgun-Drop-Message", []string{"yes"}, `{"testmode":true}`, ""},
		{"o:testmode", "X-Mailgun-Drop-Message", []string{"Pass"}, `{"testmode":true}`, ""},
		{"o:testmode", "X-Mailgun-Drop-Message", []string{"no"}, `{}`, ""},
		{"o:tracking", "X-Mailgun-Track", []string{"no"}, `{"tracking":"no"}`, ""},
		{"o:tracking-clicks", "X-Mailgun-Track-Clicks", []string{"htmlonly"}, `{"tracking-clicks":"htmlonly"}`, ""},
		{"o:tracking-opens", "X-Mailgun-Track-Opens", []string{"yes"}, `{"tracking-opens":"yes"}`, ""},
		{"o:sending-ip", "X-Mailgun-Sending-Ip", []string{"192.0.2.7"}, `{"sending-ip":"192.0.2.7"}`, ""},
		{"o:sending-ip-pool", "X-Mailgun-Sending-Ip-Pool", []string{"bulk"}, `{"sending-ip-pool":"bulk"}`, ""},
		{"o:require-tls", "X-Mailgun-Require-TLS", []string{"true"}, `{"require-tls":true}`, ""},
		{"o:skip-verification", "X-Mailgun-Skip-Verification", []string{"yes"}, `{"skip-verification":true}`, ""},
		{"o:secondary-dkim", "X-Mailgun-Secondary-DKIM", []string{"example.com,s1"}, `{"secondary-dkim":"example.com/s1"}`, ""},
		{"o:secondary-dkim-public", "X-Mailgun-Secondary-DKIM-Public", []string{"example.com/s1"}, `{"secondary-dkim-public":"example.com/s1"}`, ""},
		{"o:deliverytime", "X-Mailgun-Deliver-By", []string{"Sat, 21 Nov 2026 12:00:00 +0000"}, `{"deliverytime":1795262400000000}`, ""},
		{"o:deliver-within", "X-Mailgun-Deliver-Within", []string{"1h30m"}, `{"deliver-within":5400}`, ""},
		{"o:deliverytime-optimize-period", "X-Mailgun-Delivery-Time-Optimize-Period", []string{"24h"}, `{"deliverytime-optimize-period":"24h"}`, ""},
		{"o:time-zone-localize", "X-Mailgun-Time-Zone-Localize", []string{"02:00PM"}, `{"time-zone-localize":"02:00PM"}`, ""},
		{"recipient-variables", "X-Mailgun-Recipient-Variables", []string{`{"A@b.com": {"n": 1}}`}, `{}`, ""},
		{"template", "X-Mailgun-Template-Name", []string{"welcome"}, `{"template":"welcome"}`, "welcome"},
		{"t:version", "X-Mailgun-Template-Version", []string{"V2"}, `{"t:version":"v2"}`, ""},
		{"t:variables", "X-Mailgun-Template-Variables", []string{`{"a": [1]}`}, `{"t:variables":"{\"a\":[1]}"}`, `{"a":[1]}`},
		{"v:k", "X-Mailgun-Variables", []string{"x"}, `{}`, `{"k":"x"}`},
		{"o:tracking-pixel-location-top", "X-Mailgun-Track-Pixel-Location-Top", []string{"yes"}, `{"tracking-pixel-location-top":"yes"}`, ""},
		{"o:archive-to", "X-Mailgun-Archive-To", []string{"log@Keep.org, b@b.com", "https://keep.org/in?a,b"},
			`{"archive-to":"log@keep.org b@b.com https://keep.org/in?a,b"}`, ""},
		{"o:suppress-headers", "X-Mailgun-Suppress-Headers", []string{"X-Mailgun-Sid", "x-mailgun-tag"}, `{"suppress-headers":"X-Mailgun-Sid,x-mailgun-tag"}`, ""},
	} {
		var first string
		for _, way := range []string{"parameter", "h: parameter", "messages.mime, parameter", "messages.mime, header", "SMTP", "SMTP, outside a container"} {
			given := c.values
			if c.form == "v:k" && !strings.HasSuffix(way, "parameter") || way == "h: parameter" && c.form == "v:k" {
				given = []string{`{"k": "x"}`}
			}
			d, err := ways[way](t, c.form, c.header, given)
			if err != nil {
				t.Errorf("%s by %s: %v", c.header, way, err)
				continue
			}
			if got := optionsText(t, d); got != c.options {
				t.Errorf("%s by %s: %s, want %s", c.header, way, got, c.options)
			}
			p := parsedDraft(t, d)
			if got := p.Get(c.header); got != c.stays {
				t.Errorf("%s by %s: %q in the message, want %q", c.header, way, got, c.stays)
			}
			if p.Get("X-Mailgun-Sid") == "" && c.form != "o:suppress-headers" || p.Get("Subject") != "S" || strings.TrimSpace(p.Text) != "T" && c.form != "template" {
				t.Errorf("%s by %s:\n%s", c.header, way, d.sub.MIME)
			}
			if way == "SMTP, outside a container" && c.form != "recipient-variables" {
				continue // a batch
			}
			if got := effect(d); first == "" {
				first = got
			} else if got != first {
				t.Errorf("%s by %s: %s\nwant %s", c.header, way, got, first)
			}
		}
	}
	for header, opt := range optionHeaders {
		if known, _ := (&Options{}).set(opt, "x", bounds{}); !known {
			t.Errorf("%s stands for an option nobody knows", header)
		}
	}
}

func optionsText(t *testing.T, d *draft) string {
	t.Helper()
	b, err := json.Marshal(&d.sub.Meta.Options)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// effect writes what becomes of a draft.
func effect(d *draft) string {
	s := &Service{Config: Config{IDs: testIDs(), GiveUp: time.Hour, URLs: true}}
	m := &Message{ID: 1, DomainID: 1, AccountID: "a", Meta: d.sub.Meta, CreatedAt: testNow}
	list := s.deliveries(m, d.sub, m.CreatedAt, nil)
	var b strings.Builder
	fmt.Fprintf(&b, "batch %v, variables %s", d.sub.Meta.Batch, d.sub.Meta.Variables)
	for _, x := range append(list, s.archived(m, list)...) {
		fmt.Fprintf(&b, "; %s at %s tag %q pool %q due %+d until %+d %s", x.Recipient, x.Destination, x.Tag, x.Pool,
			x.Due-testNow.UnixMicro(), x.Deadline-testNow.UnixMicro(), x.Vars)
	}
	return b.String()
}

// TestSMTPOptionEffects looks at what the options do rather than at what they are.
func TestSMTPOptionEffects(t *testing.T) {
	const hour = int64(time.Hour / time.Microsecond)
	for name, c := range map[string]struct {
		header string
		check  func(list []*queue.Delivery) bool
	}{
		"plain": {"", func(l []*queue.Delivery) bool {
			return l[0].Due == testNow.UnixMicro() && len(l) == 1 && l[0].Vars == ""
		}},
		"Deliver-By":     {"X-Mailgun-Deliver-By: Fri, 20 Nov 2026 14:00:00 +0000", func(l []*queue.Delivery) bool { return l[0].Due == testNow.UnixMicro()+2*hour }},
		"past":           {"X-Mailgun-Deliver-By: Fri, 14 Oct 2011 12:00:00 +0000", func(l []*queue.Delivery) bool { return l[0].Due == testNow.UnixMicro() }},
		"Deliver-Within": {"X-Mailgun-Deliver-Within: 30m", func(l []*queue.Delivery) bool { return l[0].Deadline == l[0].Due+hour/2 }},
		"both": {"X-Mailgun-Deliver-Within: 2h\r\nX-Mailgun-Deliver-By: Fri, 20 Nov 2026 14:00:00 +0000",
			func(l []*queue.Delivery) bool { return l[0].Deadline == testNow.UnixMicro()+4*hour }},
		"pool":    {"X-Mailgun-Sending-Ip-Pool: bulk", func(l []*queue.Delivery) bool { return l[0].Pool == "bulk" }},
		"address": {"X-Mailgun-Sending-Ip-Pool: bulk\r\nX-Mailgun-Sending-Ip: ::ffff:192.0.2.7", func(l []*queue.Delivery) bool { return strings.Contains(l[0].Pool, "192.0.2.7") }},
		"tag":     {"x-mailgun-tag: a\r\nX-MAILGUN-TAG: b", func(l []*queue.Delivery) bool { return l[0].Tag == "a" }},
		"archive": {"X-Mailgun-Deliver-By: Fri, 20 Nov 2026 14:00:00 +0000\r\nX-Mailgun-Archive-To: log@keep.org", func(l []*queue.Delivery) bool {
			return len(l) == 2 && l[1].Recipient == "log@keep.org" && l[1].Destination == "keep.org" && l[1].Due == l[0].Due && ArchiveCopy(l[1].Vars) && l[1].ID != l[0].ID
		}},
		"archive is a recipient": {"X-Mailgun-Archive-To: A@B.com", func(l []*queue.Delivery) bool { return len(l) == 1 }},
		"archive by URL": {"X-Mailgun-Archive-To: https://Keep.org:8443/in?a,b", func(l []*queue.Delivery) bool {
			return len(l) == 2 && l[1].Recipient == "https://Keep.org:8443/in?a,b" && l[1].Destination == "https://keep.org:8443"
		}},
	} {
		raw := plainMessage
		if c.header != "" {
			raw = c.header + "\r\n" + plainMessage
		}
		d, err := overSMTP(raw, "a@b.com")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		s := &Service{Config: Config{IDs: testIDs(), GiveUp: time.Hour, URLs: true}}
		m := &Message{ID: 1, Meta: d.sub.Meta, CreatedAt: testNow}
		list := s.deliveries(m, d.sub, m.CreatedAt, nil)
		if list = append(list, s.archived(m, list)...); !c.check(list) {
			t.Errorf("%s: %s", name, effect(d))
		}
		s.URLs = false
		for _, x := range s.archived(m, list) {
			if netx.IsURL(x.Recipient) {
				t.Errorf("%s: a delivery nobody can make", name)
			}
		}
	}
}

func TestHeaderRefusals(t *testing.T) {
	for header, want := range map[string]string{
		"X-Mailgun-Drop-Message: perhaps":                "invalid value 'perhaps' of 'o:testmode': expected yes, no, true or false",
		"X-Mailgun-Deliver-By: tomorrow":                 "tomorrow is not an RFC-2822 compliant date",
		"X-Mailgun-Deliver-Within: 1m":                   "invalid value '1m' of 'o:deliver-within': expected between 5m and 24h",
		"X-Mailgun-Variables: {":                         "'X-Mailgun-Variables' header is not a valid JSON",
		"X-Mailgun-Recipient-Variables: {\"a@b.com\":1}": "'X-Mailgun-Recipient-Variables' header is not a valid JSON",
		"X-Mailgun-Template-Variables: []":               "'t:variables' parameter is not a valid JSON",
		"X-Mailgun-Archive-To: nobody":                   "invalid value 'nobody' of 'o:archive-to': expected a URL or an address",
		"X-Mailgun-Archive-To: http://u:p@keep.org/":     "invalid value 'http://u:p@keep.org/' of 'o:archive-to': expected a URL or an address",
		"X-Mailgun-Archive-To: \"a b\"@keep.org":         "invalid value '\"a b\"@keep.org' of 'o:archive-to': expected a URL or an address",
		"X-Mailgun-Archive-To: " + strings.Repeat("a@a.org,", 2) + "b@a.org,c@a.org,d@a.org,e@a.org,f@a.org,g@a.org,h@a.org,i@a.org,j@a.org,k@a.org": "invalid value of 'o:archive-to': at most 10 places",
		"X-Mailgun-Suppress-Headers: " + strings.Repeat("x", 5000):                                                                                   "invalid value of 'o:suppress-headers': at most 4,096 bytes",
	} {
		_, err := overSMTP(header+"\r\n"+plainMessage, "a@b.com")
		if e := publicText(err); e != want {
			t.Errorf("%.60s: %q, want %q", header, e, want)
		}
	}
}

// TestBccByEnvelope: who is in the envelope only gets the message as it is, and
// nothing in it names them.
func TestBccByEnvelope(t *testing.T) {
	d, err := overSMTP("Bcc: hidden@b.com,\r\n other@b.com\r\nCc: c@b.com\r\nResent-Bcc: again@b.com\r\n"+plainMessage, "a@b.com", "hidden@b.com", "c@b.com", "unnamed@b.com", "A@b.com")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(d.sub.Meta.Recipients, " "); got != "a@b.com hidden@b.com c@b.com unnamed@b.com A@b.com" && got != "a@b.com hidden@b.com c@b.com unnamed@b.com" {
		t.Errorf("recipients %s", got)
	}
	for _, name := range []string{"hidden", "other", "again", "unnamed", "Bcc"} {
		if strings.Contains(string(d.sub.MIME), name) {
			t.Errorf("the message names %s:\n%s", name, d.sub.MIME)
		}
	}
	if p := parsedDraft(t, d); p.Get("To") != "a@b.com" || p.Get("Cc") != "c@b.com" {
		t.Errorf("%s", d.sub.MIME)
	}
}

// TestSuppressOwn: all covers fields the sender wrote, and no others.
func TestSuppressOwn(t *testing.T) {
	raw := "X-Mailgun-Suppress-Headers: all\r\nX-Mailgun-Foo: 1\r\nX-Mailgun-Tag: a\r\nX-Other: 2\r\n" + plainMessage
	smtp, err := overSMTP(raw, "a@b.com")
	if err != nil {
		t.Fatal(err)
	}
	form, err := parse(t, base("h:X-Mailgun-Foo", "1", "h:X-Other", "2", "o:tag", "a", "o:suppress-headers", "X-Mailgun-Foo", "o:suppress-headers", "all"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []*draft{smtp, form} {
		if text := strings.ToLower(string(d.sub.MIME)); strings.Contains(text, "x-mailgun") || !strings.Contains(text, "x-other: 2") || d.sub.Meta.Options.Tags[0] != "a" {
			t.Errorf("%s", text)
		}
	}
}

func publicText(err error) string {
	e, ok := err.(*errs.Error)
	if !ok {
		return fmt.Sprint(err)
	}
	return e.Public
}
