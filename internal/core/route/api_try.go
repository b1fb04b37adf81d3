package route

import (
	"context"
	"fmt"
	"strings"

	"postroad/internal/base/errs"
	"postroad/internal/core/account"
	"postroad/internal/mail/addr"
	"postroad/internal/mail/mime"
)

type tryIn struct {
	Recipient string   `form:"recipient" required:"Missing mandatory parameter: recipient" max:"1000" doc:"Recipient address"`
	Header    []string `form:"header" max:"1000" doc:"Header field of the message, \"Subject: words\"; repeat for several"`
}

type tryOut struct {
	Recipient string     `json:"recipient"`
	Accepted  bool       `json:"accepted" doc:"Whether mail for the recipient would be taken for the sake of a route"`
	Routes    []triedOut `json:"routes" doc:"All routes, in the order they are looked at"`
}

type triedOut struct {
	ID          string      `json:"id"`
	Priority    int64       `json:"priority"`
	Description string      `json:"description"`
	Expression  string      `json:"expression"`
	Matches     bool        `json:"matches"`
	Reason      string      `json:"reason,omitempty" doc:"Why it does not match"`
	Actions     []actionOut `json:"actions" doc:"What it would do; none if it does not match"`
}

type actionOut struct {
	Action      string `json:"action" doc:"forward, store or stop"`
	Destination string `json:"destination,omitempty" doc:"Address or URL, with what groups captured"`
	Problem     string `json:"problem,omitempty" doc:"Why the action could not be done"`
}

func (s *Service) tryRoutes(ctx context.Context, in *tryIn) (*tryOut, error) {
	if _, err := addr.ParseMailbox(in.Recipient); err != nil {
		return nil, errs.New(errs.Invalid, "recipient is not a valid address: %s", err)
	}
	header, err := headerOf(in.Header)
	if err != nil {
		return nil, err
	}
	set, err := s.rulesOf(ctx, account.From(ctx).AccountID)
	if err != nil {
		return nil, err
	}
	rcpt := newSubject(ctx, in.Recipient)
	sub := newSubject(ctx, in.Recipient).withHeader(header)
	out := &tryOut{Recipient: in.Recipient, Accepted: set.candidate(rcpt) != nil, Routes: set.try(sub)}
	if rcpt.err != nil {
		return nil, rcpt.err
	}
	return out, sub.err
}

// headerOf makes a header of fields in text.
func headerOf(lines []string) (mime.Fields, error) {
	var b strings.Builder
	for _, l := range lines {
		name, _, ok := strings.Cut(l, ":")
		if !ok || !fieldName(name) || strings.ContainsAny(l, "\r\n") {
			return nil, errs.New(errs.Invalid, "header %q is not of the form \"Name: value\"", clip(l, 100))
		}
		b.WriteString(l + "\r\n")
	}
	fields, _, err := mime.ScanHeader([]byte(b.String()))
	if err != nil {
		return nil, errs.New(errs.TooLarge, "%s", err)
	}
	return fields, nil
}

// try looks at all routes and says what became of each.
func (r *ruleset) try(sub *subject) []triedOut {
	out := make([]triedOut, 0, len(r.rules))
	var last *rule // that stopped
	for _, one := range r.rules {
		t := triedOut{ID: one.ID, Priority: one.Priority, Description: one.Description, Expression: one.Expression, Actions: []actionOut{}}
		switch {
		case last != nil:
			t.Reason = fmt.Sprintf("not looked at: route %s before it matched and has stop()", last.ID)
		case one.when.holds(sub) != yes:
			t.Reason = one.when.why(sub)
		default:
			t.Matches, sub.matched = true, true
			for _, a := range one.resolve(sub) {
				t.Actions = append(t.Actions, actionOut{string(a.Kind), a.Address + a.URL, a.Problem})
			}
			if one.stop {
				last = one
			}
		}
		out = append(out, t)
	}
	return out
}
