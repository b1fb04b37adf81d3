package event

import (
	"slices"
	"strconv"
	"strings"

	"postroad/internal/base/errs"
)

// predicate is a condition of the logs API.
type predicate struct {
	attr   func(*Doc) []string
	cmp    string
	values []string // in lower case
	nums   []float64
}

// comparators: Mailgun: "Filter Field" names =, !=, contains, not contains, <
// and >; the metrics API has the others.
func comparators() []string {
	return []string{"=", "!=", "contains", "not contains", "starts with", "not starts with", "ends with", "not ends with", "<", ">", "<=", ">="}
}

func newPredicate(attribute, cmp string, values []string) (predicate, error) {
	p := predicate{cmp: strings.ToLower(strings.Join(strings.Fields(strings.ReplaceAll(cmp, "_", " ")), " "))}
	if p.attr = logAttributes[attributeName(attribute)]; p.attr == nil {
		return p, errs.New(errs.Invalid, "'%s' is not a valid filter predicate attribute", clip(attribute, 60))
	}
	if !slices.Contains(comparators(), p.cmp) {
		return p, errs.New(errs.Invalid, "'%s' is not a valid filter predicate comparator", clip(cmp, 60)).
			WithHint("comparators are %s", strings.Join(comparators(), ", "))
	}
	if len(values) == 0 {
		return p, errs.New(errs.Invalid, "filter predicate for '%s' has no values", clip(attribute, 60))
	}
	for _, v := range values {
		if strings.ContainsAny(p.cmp, "<>") {
			n, err := strconv.ParseFloat(v, 64)
			if err != nil {
				return p, errs.New(errs.Invalid, "'%s' is not a number, filter predicate for '%s'", clip(v, 60), attribute)
			}
			p.nums = append(p.nums, n)
		}
		if attributeName(attribute) == "message_id" {
			v = strings.Trim(v, "<>")
		}
		p.values = append(p.values, strings.ToLower(v))
	}
	return p, nil
}

// attributeName: hyphens and underscores are the same.
func attributeName(s string) string { return strings.ToLower(strings.ReplaceAll(s, "-", "_")) }

func (p predicate) match(d *Doc) bool {
	return p.matchValues(p.attr(d))
}

func (p predicate) matchValues(have []string) bool {
	cmp, negated := strings.CutPrefix(p.cmp, "not ")
	if cmp == "!=" {
		cmp, negated = "=", true
	}
	found := slices.ContainsFunc(have, func(v string) bool { return p.meets(cmp, strings.ToLower(v)) })
	return found != negated
}

// meets reports whether one of the values wanted compares with v.
func (p predicate) meets(cmp, v string) bool {
	if p.nums != nil {
		n, err := strconv.ParseFloat(v, 64)
		return err == nil && slices.ContainsFunc(p.nums, func(w float64) bool {
			return cmp == ">" && n > w || cmp == "<" && n < w || cmp == ">=" && n >= w || cmp == "<=" && n <= w
		})
	}
	return slices.ContainsFunc(p.values, func(w string) bool {
		switch cmp {
		case "contains":
			return strings.Contains(v, w)
		case "starts with":
			return strings.HasPrefix(v, w)
		case "ends with":
			return strings.HasSuffix(v, w)
		}
		return v == w
	})
}

// addPredicate adds p and what an index can tell of it.
func (f *Filter) addPredicate(attribute string, p predicate) {
	f.add(p)
	switch name := attributeName(attribute); {
	case name == "event":
		f.limitTypes(p.match)
		return
	case name == "severity" && !p.match(&Doc{}):
		f.limitTypes(func(d *Doc) bool { return d.Event == Failed })
	case p.cmp == "=" && name == "recipient" && f.recipients == nil && len(p.values) <= maxHints:
		f.recipients = hashes(p.values)
	case p.cmp == "=" && name == "message_id" && f.msgids == nil && len(p.values) <= maxHints:
		f.msgids = hashes(p.values)
	}
	f.indexed = false
}

func hashes(values []string) []int64 {
	out := make([]int64, len(values))
	for i, v := range values {
		out[i] = Hash(v)
	}
	return out
}

// kindCond takes events of some types, of failed ones maybe one severity only.
type kindCond []kind

type kind struct {
	event    Type
	severity string
}

func (k kindCond) match(d *Doc) bool {
	return slices.ContainsFunc(k, func(w kind) bool {
		return w.event == d.Event && (w.severity == "" || w.severity == d.Severity)
	})
}

func (f *Filter) addKinds(k kindCond) {
	f.add(k)
	f.limitTypes(func(d *Doc) bool {
		return slices.ContainsFunc(k, func(w kind) bool { return w.event == d.Event })
	})
	if slices.ContainsFunc(k, func(w kind) bool { return w.severity != "" }) {
		f.indexed = false
	}
}

// metricKinds is the events a metric counts. Mailgun: "Metric definitions".
func metricKinds(name string) (kindCond, bool) {
	s := strings.TrimSuffix(strings.ToLower(name), "_count")
	s = strings.TrimPrefix(s, "unique_")
	word, _, _ := strings.Cut(s, "_")
	switch {
	case s == "processed", s == "sent":
		return kindCond{{Delivered, ""}, {Failed, Permanent}}, true
	case strings.HasPrefix(s, "temporary_failed"), s == "soft_bounces", strings.HasPrefix(s, "delayed_first"):
		return kindCond{{Failed, Temporary}}, true
	case strings.HasPrefix(s, "permanent_failed"), s == "hard_bounces", s == "bounced", s == "delayed_bounces",
		strings.HasPrefix(s, "suppressed"):
		return kindCond{{Failed, Permanent}}, true
	}
	_, ok := codes[Type(word)]
	return kindCond{{Type(word), ""}}, ok
}

// logAttributes is what predicates can look at; domain is not among them, it
// selects the domains searched.
var logAttributes = map[string]func(*Doc) []string{
	"event":                    func(d *Doc) []string { return one(string(d.Event)) },
	"domain":                   func(*Doc) []string { return nil },
	"id":                       func(d *Doc) []string { return one(d.ID) },
	"recipient":                func(d *Doc) []string { return one(d.Recipient) },
	"recipients":               (*Doc).recipients,
	"recipient_domain":         func(d *Doc) []string { return one(d.RecipientDom) },
	"recipient_provider":       func(d *Doc) []string { return one(d.Provider) },
	"message_id":               func(d *Doc) []string { return one(d.headers().MessageID) },
	"from":                     func(d *Doc) []string { return one(d.headers().From) },
	"to":                       func(d *Doc) []string { return one(d.headers().To) },
	"subject":                  func(d *Doc) []string { return one(d.headers().Subject) },
	"attachment_filename":      (*Doc).files,
	"size":                     (*Doc).sizeText,
	"tag":                      func(d *Doc) []string { return d.Tags },
	"tags":                     func(d *Doc) []string { return d.Tags },
	"severity":                 func(d *Doc) []string { return one(d.Severity) },
	"reason":                   func(d *Doc) []string { return one(d.Reason) },
	"log_level":                func(d *Doc) []string { return one(d.LogLevel) },
	"method":                   func(d *Doc) []string { return one(d.Method) },
	"api_key_id":               func(d *Doc) []string { return one(d.APIKeyID) },
	"originating_ip":           func(d *Doc) []string { return one(d.OriginatingIP) },
	"sender":                   (*Doc).sender,
	"mailing_list_address":     (*Doc).list,
	"ip":                       func(d *Doc) []string { return one(d.IP) },
	"ip_pool":                  func(*Doc) []string { return nil },
	"subaccount":               func(*Doc) []string { return nil },
	"i_classification_rule_id": func(*Doc) []string { return nil },
	"country":                  (*Doc).country,
	"bot":                      func(d *Doc) []string { return one(d.client().Bot) },
	"device":                   func(d *Doc) []string { return one(d.client().DeviceType) },
	"url":                      func(d *Doc) []string { return one(d.URL) },
	"user_variables":           func(d *Doc) []string { return one(string(d.UserVariables)) },
	"delivery_status_code":     (*Doc).statusCode,
	"delivery_status_message":  (*Doc).statusTexts,
	"is_routed":                func(d *Doc) []string { return one(strconv.FormatBool(d.Flags != nil && d.Flags.IsRouted)) },
	"template":                 (*Doc).templateName,
}

func (d *Doc) sizeText() []string {
	if d.Message == nil {
		return nil
	}
	return one(strconv.FormatInt(d.Message.Size, 10))
}

func (d *Doc) sender() []string {
	if d.Envelope == nil {
		return nil
	}
	return one(d.Envelope.Sender)
}

func (d *Doc) country() []string {
	if d.Geolocation == nil {
		return nil
	}
	return one(d.Geolocation.Country)
}

func (d *Doc) client() ClientInfo {
	if d.ClientInfo == nil {
		return ClientInfo{}
	}
	return *d.ClientInfo
}

func (d *Doc) statusCode() []string {
	if d.DeliveryStatus == nil {
		return nil
	}
	return one(strconv.Itoa(d.DeliveryStatus.Code))
}

func (d *Doc) statusTexts() []string {
	if d.DeliveryStatus == nil {
		return nil
	}
	return append(one(d.DeliveryStatus.Message), one(d.DeliveryStatus.Description)...)
}

func (d *Doc) templateName() []string {
	if d.Template == nil {
		return nil
	}
	return one(d.Template.Name)
}
