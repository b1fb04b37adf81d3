package deliver

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
	"postroad/internal/core/queue"
	"postroad/internal/core/shape"
)

const (
	retryDoc = `What waits for a later time becomes due now. Limits, pauses and suspensions stay in force: the answer says so.`

	bounceDoc = `Deliveries that no session has begun end as failed, with code 554 and the reason. Their addresses are not suppressed. With dry_run nothing is done: the answer says how many there are.

A large order takes minutes; what was done stays done when the connection breaks, and the same order again does the rest.`

	dropDoc = `As bounce, with code 650: no sender is to blame, the operator ended it. The failed event is made all the same, so that nobody looks for the message in vain.`
)

type deliveryView struct {
	ID          string     `json:"id"`
	Message     string     `json:"message" doc:"id of the message"`
	Account     string     `json:"account"`
	Domain      string     `json:"domain" doc:"sending domain"`
	Recipient   string     `json:"recipient"`
	Destination string     `json:"destination"`
	Tag         string     `json:"tag,omitempty"`
	Pool        string     `json:"pool,omitempty" doc:"of sources it asks for"`
	Lane        string     `json:"lane" doc:"it is in, or would get"`
	State       string     `json:"state" doc:"due, deferred after an attempt, or scheduled for later"`
	Accepted    time.Time  `json:"accepted"`
	Due         time.Time  `json:"due" doc:"when to try next"`
	Deadline    time.Time  `json:"deadline" doc:"when to give up"`
	Tries       int        `json:"tries" doc:"attempts with an outcome"`
	FirstTry    time.Time  `json:"first_try,omitzero"`
	LastReply   *replyView `json:"last_reply,omitempty" doc:"of the last attempt"`
}

func (a *Admin) view(ctx context.Context, d *queue.Delivery, names *domainNames) (*deliveryView, error) {
	v := &deliveryView{ID: strconv.FormatInt(d.ID, 10), Message: strconv.FormatInt(d.MessageID, 10), Account: d.AccountID, Recipient: d.Recipient,
		Destination: d.Destination, Tag: d.Tag, Pool: d.Pool, Lane: d.Lane, State: "due", Accepted: ids.Time(d.ID), Due: at(d.Due), Deadline: at(d.Deadline),
		Tries: d.Tries, FirstTry: at(d.FirstAt), LastReply: lastReply(d.Destination, d.Last)}
	if v.Due.After(a.Clock.Now()) {
		if v.State = "scheduled"; d.Tries > 0 || d.Attempt > 0 {
			v.State = "deferred"
		}
	}
	var err error
	v.Domain, err = names.of(ctx, d.DomainID)
	return v, err
}

type deliveriesIn struct {
	selectorIn
	After string `form:"after" max:"20" doc:"id of a delivery: only those after it"`
	Limit int    `form:"limit" default:"100" min:"1" max:"1000" doc:"deliveries wanted"`
}

type deliveriesOut struct {
	Items []*deliveryView `json:"items" doc:"the oldest first"`
	Next  string          `json:"next,omitempty" doc:"what to give as after for those that follow"`
}

func (a *Admin) listDeliveries(ctx context.Context, in *deliveriesIn) (*deliveriesOut, error) {
	s, err := a.selector(ctx, &in.selectorIn)
	if err != nil {
		return nil, err
	}
	var after int64
	if in.After != "" {
		if after, err = parseID(in.After); err != nil {
			return nil, err
		}
	}
	list, err := a.Queue.List(ctx, s, after, in.Limit)
	if err != nil {
		return nil, err
	}
	out, names := &deliveriesOut{Items: []*deliveryView{}}, a.names()
	for _, d := range list {
		v, err := a.view(ctx, d, names)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, v)
	}
	if len(list) == in.Limit {
		out.Next = out.Items[len(list)-1].ID
	}
	return out, nil
}

type deliveryIn struct {
	ID string `path:"id" doc:"id of the delivery"`
}

func (a *Admin) getDelivery(ctx context.Context, in *deliveryIn) (*deliveryView, error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	list, err := a.Queue.List(ctx, queue.Selector{DeliveryID: id}, 0, 1)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, errs.New(errs.NotFound, "no unfinished delivery %d", id).WithHint("its message's events say how it ended")
	}
	return a.view(ctx, list[0], a.names())
}

type retryIn struct {
	Body retryBody `body:"json" required:"a JSON body is required" doc:"which deliveries"`
}

type retryBody struct {
	selectorIn
	Reason string `json:"reason,omitempty" doc:"why, for the log"`
	DryRun bool   `json:"dry_run,omitempty" doc:"only count"`
}

// UnmarshalJSON implements json.Unmarshaler.
func (b *retryBody) UnmarshalJSON(data []byte) error {
	type plain retryBody
	return strict(data, (*plain)(b))
}

type endIn struct {
	Body endBody `body:"json" required:"a JSON body is required" doc:"which deliveries, and why"`
}

type endBody struct {
	selectorIn
	Reason string `json:"reason" doc:"why; in the events and the log"`
	DryRun bool   `json:"dry_run,omitempty" doc:"only count; needs no reason"`
}

// UnmarshalJSON implements json.Unmarshaler.
func (b *endBody) UnmarshalJSON(data []byte) error {
	type plain endBody
	return strict(data, (*plain)(b))
}

type countOut struct {
	Message string `json:"message"`
	Count   int64  `json:"count" doc:"deliveries concerned"`
	More    bool   `json:"more,omitempty" doc:"with dry_run: there are more, counting ended"`
	Note    string `json:"note,omitempty" doc:"what else holds them back"`
}

// chosen reads a selector that must choose something.
func (a *Admin) chosen(ctx context.Context, in *selectorIn) (queue.Selector, error) {
	if *in == (selectorIn{}) {
		return queue.Selector{}, errs.New(errs.Invalid, "say which deliveries: lane, destination, domain, account, tag, recipient, message or id")
	}
	return a.selector(ctx, in)
}

// maxCount is where counting ends.
const maxCount = 100_000

// count answers a dry run: also what sessions have is counted.
func (a *Admin) count(ctx context.Context, s queue.Selector) (*countOut, error) {
	out := &countOut{}
	for after := int64(0); ; {
		page, err := a.Queue.List(ctx, s, after, queue.MaxList)
		if err != nil {
			return nil, err
		}
		out.Count += int64(len(page))
		if out.More = len(page) == queue.MaxList; !out.More || out.Count >= maxCount {
			break
		}
		after = page[len(page)-1].ID
	}
	out.Message = matching(out.Count)
	return out, nil
}

func matching(n int64) string {
	if n == 1 {
		return "1 delivery matches"
	}
	return fmt.Sprintf("%d deliveries match", n)
}

func (a *Admin) retry(ctx context.Context, in *retryIn) (*countOut, error) {
	s, err := a.chosen(ctx, &in.Body.selectorIn)
	if err != nil {
		return nil, err
	}
	reason, err := reasoned(in.Body.Reason, "")
	if err != nil {
		return nil, err
	}
	if in.Body.DryRun {
		return a.count(ctx, s)
	}
	n, err := a.Queue.Retry(ctx, s)
	a.note(ctx, "retried", &in.Body.selectorIn, reason, n, err)
	if err != nil {
		return nil, err
	}
	out := &countOut{Message: fmt.Sprintf("%d waiting for a later time are due now", n), Count: n, Note: strings.Join(slices.DeleteFunc([]string{a.held(s), a.withheld()}, func(s string) bool { return s == "" }), "; ")}
	if n == 0 {
		out.Message = "nothing that matches waits for a later time"
	}
	return out, nil
}

// held says what stops the lane that a selector names, directly or by its
// destination.
func (a *Admin) held(s queue.Selector) string {
	lane := s.Lane
	if lane == "" && s.Destination != "" {
		lane, _ = a.Router.Route(&queue.Delivery{Destination: s.Destination})
	}
	if lane == "" {
		return ""
	}
	until, reason := a.Shape.Suspended(lane)
	switch {
	case reason == "":
		return ""
	case until.IsZero():
		return "the lane " + lane + " is paused: " + reason
	}
	return "the lane " + lane + " is stopped until " + until.UTC().Format(time.RFC3339) + ": " + reason
}

// withheld names the senders whose mail is paused, which no lane tells.
func (a *Admin) withheld() string {
	var ids []string
	for _, r := range a.Shape.Rules() {
		if r.Kind == shape.Pause && (r.Scope == shape.ScopeAccount || r.Scope == shape.ScopeDomain || r.Scope == shape.ScopeTag) {
			ids = append(ids, strconv.FormatInt(r.ID, 10))
		}
	}
	if len(ids) == 0 {
		return ""
	}
	return "mail of paused senders stays, see the rules " + strings.Join(ids[:min(len(ids), 5)], ", ")
}

func (a *Admin) bounce(ctx context.Context, in *endIn) (*countOut, error) {
	return a.end(ctx, in, queue.Bounce, "bounced")
}

func (a *Admin) drop(ctx context.Context, in *endIn) (*countOut, error) {
	return a.end(ctx, in, queue.Drop, "dropped")
}

func (a *Admin) end(ctx context.Context, in *endIn, kind queue.OrderKind, done string) (*countOut, error) {
	s, err := a.chosen(ctx, &in.Body.selectorIn)
	if err != nil {
		return nil, err
	}
	if in.Body.DryRun {
		return a.count(ctx, s)
	}
	reason, err := reasoned(in.Body.Reason, "a reason is required: the events of the messages carry it")
	if err != nil {
		return nil, err
	}
	n, err := a.Queue.Order(ctx, s, queue.Order{Kind: kind, Reason: reason})
	a.note(ctx, done, &in.Body.selectorIn, reason, n, err)
	if err != nil {
		return nil, err
	}
	return &countOut{Message: fmt.Sprintf("%d %s", n, done), Count: n}, nil
}

// note logs what was done with deliveries, also when it broke off.
func (a *Admin) note(ctx context.Context, done string, in *selectorIn, reason string, n int64, err error) {
	args := []any{"by", who(ctx), "count", n, "reason", reason}
	for _, x := range [...][2]string{{"lane", in.Lane}, {"destination", in.Destination}, {"domain", in.Domain}, {"account", in.Account}, {"tag", in.Tag},
		{"recipient", in.Recipient}, {"message", in.Message}, {"id", in.ID}} {
		if x[1] != "" {
			args = append(args, x[0], x[1])
		}
	}
	if err != nil {
		a.Logger.Error("queue: deliveries "+done+", not all", append(args, "error", err)...)
		return
	}
	a.Logger.Info("queue: deliveries "+done, args...)
}
