package tag

import (
	"slices"
	"strings"

	"postroad/internal/core/event"
)

// dimension is what counters are told apart by. The numbers are in the database.
type dimension int64

const (
	overall dimension = iota
	byProvider
	byCountry
	byDevice
)

const (
	unknown = "unknown"
	other   = "other"
)

// providers are the recipient domains counted for themselves; all others are
// "other". Mailgun: the example of GET /v3/domains/{domain}/tag/providers.
var providers = []string{
	"gmail.com", "yahoo.com", "hotmail.com", "aol.com", "icloud.com", "mail.ru", "comcast.net", "outlook.com", "msn.com", "live.com",
	"orange.fr", "sbcglobal.net", "att.net", "ymail.com", "hotmail.co.uk", "verizon.net", "bellsouth.net", "me.com", "yandex.ru",
	"seznam.cz", "yahoo.co.uk", "hotmail.fr", "yahoo.com.tw", "rocketmail.com", "mailinator.com", "qq.com",
}

// devices are the kinds of device. Mailgun: those that are something else are
// not told apart from unknown ones here.
var devices = []string{"desktop", "mobile", "tablet", unknown}

// countries are the codes of ISO 3166-1, in lower case as Mailgun's answers have
// them.
var countries = strings.Fields(`
ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bl bm bn bo bq br bs bt bv bw by bz
ca cc cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg eh er es et fi fj fk fm fo fr
ga gb gd ge gf gg gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in io iq ir is it
je jm jo jp ke kg kh ki km kn kp kr kw ky kz la lb lc li lk lr ls lt lu lv ly ma mc md me mf mg mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my mz
na nc ne nf ng ni nl no np nr nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw
sa sb sc sd se sg sh si sj sk sl sm sn so sr ss st sv sx sy sz tc td tf tg th tj tk tl tm tn to tr tt tv tw tz
ua ug um us uy uz va vc ve vg vi vn vu wf ws ye yt za zm zw`)

func providerOf(d *event.Doc) string {
	if d.Recipient == "" {
		return ""
	}
	return oneOf(providers, d.RecipientDom, other)
}

// placeOf returns country and device of what a recipient did, empty for other
// events.
func placeOf(d *event.Doc) (country, device string) {
	switch d.Event {
	case event.Opened, event.Clicked, event.Unsubscribed:
	default:
		return "", ""
	}
	country, device = unknown, unknown
	if d.Geolocation != nil {
		country = oneOf(countries, d.Geolocation.Country, unknown)
	}
	if d.ClientInfo != nil {
		device = oneOf(devices, d.ClientInfo.DeviceType, unknown)
	}
	return country, device
}

// oneOf returns s in lower case if list has it, otherwise what stands for the rest.
func oneOf(list []string, s, rest string) string {
	if s = strings.ToLower(s); slices.Contains(list, s) {
		return s
	}
	return rest
}
