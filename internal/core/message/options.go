package message

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"postroad/internal/base/errs"
	"postroad/internal/base/when"
	"postroad/internal/core/timing"
)

// maxTags and maxTagLen bound tags. Mailgun: 128 ASCII characters; tags beyond
// the limit are ignored, the message is sent.
const (
	maxTags   = 10
	maxTagLen = 128
)

// bounds are what options are checked against.
type bounds struct {
	now      time.Time
	schedule time.Duration // how far ahead a delivery may be set
	to       int           // number of recipients
}

// optionHeaders maps the header form of an option to its name.
// Mailgun: table of sending options.
var optionHeaders = map[string]string{
	"x-mailgun-tag":                           "tag",
	"x-mailgun-dkim":                          "dkim",
	"x-mailgun-secondary-dkim":                "secondary-dkim",
	"x-mailgun-secondary-dkim-public":         "secondary-dkim-public",
	"x-mailgun-deliver-by":                    "deliverytime",
	"x-mailgun-deliver-within":                "deliver-within",
	"x-mailgun-delivery-time-optimize-period": "deliverytime-optimize-period",
	"x-mailgun-time-zone-localize":            "time-zone-localize",
	"x-mailgun-drop-message":                  "testmode",
	"x-mailgun-track":                         "tracking",
	"x-mailgun-track-clicks":                  "tracking-clicks",
	"x-mailgun-track-opens":                   "tracking-opens",
	"x-mailgun-track-pixel-location-top":      "tracking-pixel-location-top",
	"x-mailgun-require-tls":                   "require-tls",
	"x-mailgun-skip-verification":             "skip-verification",
	"x-mailgun-sending-ip":                    "sending-ip",
	"x-mailgun-sending-ip-pool":               "sending-ip-pool",
	"x-mailgun-archive-to":                    "archive-to",
	"x-mailgun-suppress-headers":              "suppress-headers",
}

// set applies one option by its name without prefix. Unknown names report
// false.
func (o *Options) set(name, value string, b bounds) (known bool, err error) {
	value = strings.TrimSpace(value)
	switch name {
	case "tag", "tags":
		o.addTag(value)
	case "dkim":
		o.DKIM, err = yesNo(name, value)
	case "secondary-dkim":
		o.SecondaryDKIM, err = dkimName(value)
	case "secondary-dkim-public":
		o.SecondaryDKIMPublic, err = dkimName(value)
	case "deliverytime":
		o.DeliveryTime, err = deliveryTime(value, b)
	case "deliver-within":
		o.DeliverWithin, err = deliverWithin(value)
	case "deliverytime-optimize-period":
		o.OptimizePeriod, err = optimizePeriod(value, b)
	case "time-zone-localize":
		o.TimeZoneLocalize, err = localTime(value)
	case "testmode":
		var v *bool
		if v, err = yesNo(name, value); err == nil {
			o.TestMode = *v
		}
	case "tracking":
		o.Tracking, err = oneOf(name, value, true)
	case "tracking-clicks":
		o.TrackingClicks, err = oneOf(name, value, true)
	case "tracking-opens":
		o.TrackingOpens, err = oneOf(name, value, false)
	case "tracking-pixel-location-top":
		o.TrackingPixelTop, err = oneOf(name, value, true)
	case "require-tls":
		o.RequireTLS, err = yesNo(name, value)
	case "skip-verification":
		o.SkipVerification, err = yesNo(name, value)
	case "sending-ip":
		o.SendingIP = value
	case "sending-ip-pool":
		o.SendingIPPool = value
	case "archive-to":
		o.ArchiveTo, err = archiveTo(o.ArchiveTo, value)
	case "suppress-headers":
		o.SuppressHeaders, err = suppressHeaders(o.SuppressHeaders, value)
	case "native-send":
		o.NativeSend = value
	default:
		return false, nil
	}
	return true, err
}

// addTag keeps a tag by Mailgun's rules: ASCII, at most 128 characters,
// compared without case, characters outside ASCII stripped.
func (o *Options) addTag(v string) {
	v = strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return -1
		}
		return r
	}, v)
	v = strings.TrimSpace(v)
	if len(v) > maxTagLen {
		v = v[:maxTagLen]
	}
	if v == "" || len(o.Tags) >= maxTags {
		return
	}
	for _, t := range o.Tags {
		if strings.EqualFold(t, v) {
			return
		}
	}
	o.Tags = append(o.Tags, v)
}

// suppressHeaders adds the names in value to those known before.
func suppressHeaders(before, value string) (string, error) {
	if before != "" && value != "" {
		value = before + "," + value
	}
	if value == "" {
		value = before
	}
	if len(value) > 4096 {
		return "", errs.New(errs.Invalid, "invalid value of 'o:suppress-headers': at most 4,096 bytes")
	}
	return value, nil
}

// yesNo reads a boolean. Mailgun: yes, no, true and false are all taken.
func yesNo(name, value string) (*bool, error) {
	switch strings.ToLower(value) {
	case "yes", "true", "1", "y", "on", "pass": // "Pass" stands in Mailgun's own table of header values
		v := true
		return &v, nil
	case "no", "false", "0", "n", "off":
		v := false
		return &v, nil
	}
	return nil, errs.New(errs.Invalid, "invalid value '%s' of 'o:%s': expected yes, no, true or false", shorten(value, 40), name)
}

func oneOf(name, value string, html bool) (string, error) {
	if html && strings.EqualFold(value, "htmlonly") {
		return "htmlonly", nil
	}
	v, err := yesNo(name, value)
	if err != nil && html {
		err = errs.New(errs.Invalid, "invalid value '%s' of 'o:%s': expected yes, no, true, false or htmlonly", shorten(value, 40), name)
	}
	if err != nil {
		return "", err
	}
	if *v {
		return "yes", nil
	}
	return "no", nil
}

var dkimNameRE = regexp.MustCompile(`^[A-Za-z0-9._-]{1,253}[/,][A-Za-z0-9._-]{1,63}$`)

func dkimName(value string) (string, error) {
	if !dkimNameRE.MatchString(value) {
		return "", errs.New(errs.Invalid, "%s is not a valid secondary dkim domain name", shorten(value, 80))
	}
	return strings.Replace(value, ",", "/", 1), nil
}

// deliveryTime reads an RFC 2822 date or epoch seconds. A past time means now.
func deliveryTime(value string, b bounds) (int64, error) {
	t, ok := when.Parse(value)
	if !ok {
		return 0, errs.New(errs.Invalid, "%s is not an RFC-2822 compliant date", shorten(value, 80))
	}
	if t.After(b.now.Add(b.schedule)) {
		return 0, errs.New(errs.Invalid, "invalid delivery time: at most %s ahead", b.schedule)
	}
	if t.Before(b.now) {
		return 0, nil
	}
	return t.UnixMicro(), nil
}

var withinRE = regexp.MustCompile(`^(?:(\d{1,2})h)?(?:(\d{1,4})m)?$`)

// deliverWithin reads NhNm between five minutes and a day, in seconds.
func deliverWithin(value string) (int64, error) {
	m := withinRE.FindStringSubmatch(value)
	if m == nil || value == "" {
		return 0, errs.New(errs.Invalid, "invalid delivery time format")
	}
	h, _ := strconv.Atoi(m[1]) // the pattern allows digits or nothing
	min, _ := strconv.Atoi(m[2])
	sec := int64(h*3600 + min*60)
	if sec < 300 || sec > 86400 {
		return 0, errs.New(errs.Invalid, "invalid value '%s' of 'o:deliver-within': expected between 5m and 24h", value)
	}
	return sec, nil
}

var periodRE = regexp.MustCompile(`^(\d{1,3})h$`)

func optimizePeriod(value string, b bounds) (string, error) {
	m := periodRE.FindStringSubmatch(value)
	if m == nil {
		return "", errs.New(errs.Invalid, "invalid value '%s' of 'o:deliverytime-optimize-period': expected 24h to 72h", shorten(value, 40))
	}
	if h, _ := strconv.Atoi(m[1]); h < 24 || h > 72 {
		return "", errs.New(errs.Invalid, "invalid value '%s' of 'o:deliverytime-optimize-period': expected 24h to 72h", value)
	}
	if b.to > 1 { // Mailgun
		return "", errs.New(errs.Invalid, "'o:deliverytime-optimize-period' is allowed for one recipient only")
	}
	return value, nil
}

var time24RE = regexp.MustCompile(`^\d{1,2}:\d{2}$`)

// localTime reads HH:mm or hh:mmaa. Mailgun: the two error texts.
func localTime(value string) (string, error) {
	if time24RE.MatchString(value) {
		if _, ok := timing.ParseClock(value); !ok {
			return "", errs.New(errs.Invalid, "%s invalid 24 hour time(value of 'o:time-zone-localize')", value)
		}
		return value, nil
	}
	if _, ok := timing.ParseClock(value); ok {
		return value, nil
	}
	return "", errs.New(errs.Invalid, "%s is not a valid time to send (value of 'o:time-zone-localize')", shorten(value, 40))
}

// variables gathers v: values and X-Mailgun-Variables into one JSON object,
// parameters in the order given. Later ones win; headers win over parameters
// (Mailgun: precedence of variables).
type variables struct {
	names  []string
	values map[string]json.RawMessage
}

func (v *variables) put(name string, raw json.RawMessage) {
	if v.values == nil {
		v.values = map[string]json.RawMessage{}
	}
	if _, ok := v.values[name]; !ok {
		v.names = append(v.names, name)
	}
	v.values[name] = raw
}

// text adds a v: value; it stays a string even when it looks like JSON.
func (v *variables) text(name, value string) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return errs.Wrap(errs.Invalid, err, "invalid value of 'v:"+shorten(name, 60)+"'")
	}
	v.put(name, raw)
	return nil
}

// header merges the JSON object of an X-Mailgun-Variables header.
func (v *variables) header(value string) error {
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(value), &m); err != nil {
		return errs.New(errs.Invalid, "'X-Mailgun-Variables' header is not a valid JSON")
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		v.put(name, compactJSON(m[name]))
	}
	return nil
}

// maxUserVariables is where events cut user variables. Mailgun: 4 KB.
const maxUserVariables = 4096

// forEvents returns the object events carry.
func (v *variables) forEvents() json.RawMessage {
	return cutVariables(v.object())
}

func cutVariables(raw json.RawMessage) json.RawMessage {
	if len(raw) > maxUserVariables {
		return json.RawMessage(`"Could not load user-variables. They were either truncated or invalid JSON"`)
	}
	return raw
}

func (v *variables) object() json.RawMessage {
	if len(v.names) == 0 {
		return nil
	}
	b := []byte{'{'}
	for i, n := range v.names {
		if i > 0 {
			b = append(b, ',')
		}
		name, err := json.Marshal(n)
		if err != nil {
			continue // a Go string always encodes
		}
		b = append(append(append(b, name...), ':'), v.values[n]...)
	}
	return append(b, '}')
}
