package deliver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode"

	"postroad/internal/base/clock"
	"postroad/internal/base/dnsx"
	"postroad/internal/base/errs"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
	"postroad/internal/core/domain"
	"postroad/internal/core/message"
	"postroad/internal/core/queue"
	"postroad/internal/core/shape"
)

// Admin is the queue as its operator sees and steers it. The queue is the whole
// installation's, so its operations are for administrators of the first account
// only; those of other accounts are Forbidden.
type Admin struct {
	Queue    *queue.Queue
	Shape    *shape.Service
	Router   *Router
	Trace    *Trace
	Messages *message.Service
	Domains  *domain.Service
	Clock    clock.Clock
	Logger   *slog.Logger
	// First returns the id of the installation's first account.
	First func(ctx context.Context) (string, error)
	// Stopping is closed when the program stops: live streams end then.
	Stopping <-chan struct{}
}

// Ops returns the operations of the queue. They are ours, not Mailgun's.
func (a *Admin) Ops() []op.Op {
	return []op.Op{
		guarded(a, "GET", "/v1/queue/lanes", "List the lanes of the queue with what waits in them and why", a.listLanes).WithDoc(lanesDoc),
		guarded(a, "GET", "/v1/queue/lanes/{lane}", "Get one lane with everything in force for it", a.getLane),
		guarded(a, "GET", "/v1/queue/top", "List the largest parts of the queue with their ages", a.top),
		guarded(a, "GET", "/v1/queue/deliveries", "List unfinished deliveries", a.listDeliveries),
		guarded(a, "GET", "/v1/queue/deliveries/{id}", "Get one unfinished delivery", a.getDelivery),
		guarded(a, "POST", "/v1/queue/retry", "Make waiting deliveries due now", a.retry).WithDoc(retryDoc),
		guarded(a, "POST", "/v1/queue/bounce", "Return deliveries to their senders", a.bounce).WithDoc(bounceDoc),
		guarded(a, "POST", "/v1/queue/drop", "End deliveries", a.drop).WithDoc(dropDoc),
		guarded(a, "POST", "/v1/queue/pause", "Stop a part of the queue", a.pause).WithDoc(ruleDoc),
		guarded(a, "POST", "/v1/queue/resume", "End pauses and automatic suspensions", a.resume).WithDoc(resumeDoc),
		guarded(a, "POST", "/v1/queue/limit", "Limit sessions or rate of a part of the queue", a.limit).WithDoc(ruleDoc),
		guarded(a, "POST", "/v1/queue/reroute", "Send the mail of a destination another way", a.reroute).WithDoc(rerouteDoc),
		guarded(a, "GET", "/v1/queue/rules", "List the rules in force", a.listRules),
		guarded(a, "DELETE", "/v1/queue/rules/{id}", "Remove a rule", a.deleteRule),
		guarded(a, "GET", "/v1/queue/trace", "Watch SMTP conversations as they happen", a.trace).WithDoc(traceDoc),
	}
}

// guarded is op.New for an operation of the installation's administrators.
func guarded[In, Out any](a *Admin, method, path, summary string, fn func(context.Context, *In) (*Out, error)) op.Op {
	access := op.Write
	if method == "GET" {
		access = op.Read
	}
	return op.New(method, path, op.Queue, access, summary, func(ctx context.Context, in *In) (*Out, error) {
		if err := a.allow(ctx); err != nil {
			return nil, err
		}
		// A misspelt parameter that is ignored makes a selector choose more than was
		// meant: what changes something takes nothing it does not know.
		if access == op.Write && op.RequestFrom(ctx).RawQuery != "" {
			return nil, errs.New(errs.Invalid, "this takes a JSON body and no parameters in the URL")
		}
		return fn(ctx, in)
	})
}

// allow refuses keys of other accounts. Their role was looked at before.
func (a *Admin) allow(ctx context.Context) error {
	first, err := a.First(ctx)
	if err != nil {
		return err
	}
	if account.From(ctx).AccountID != first {
		return errs.New(errs.Forbidden, "The queue belongs to the installation: use an administrator's key of its first account")
	}
	return nil
}

// who names the caller in logs and rules.
func who(ctx context.Context) string {
	c := account.From(ctx)
	if c.UserName != "" {
		return c.UserName + " (key " + c.KeyID + ")"
	}
	return "key " + c.KeyID
}

// selectorIn chooses deliveries: those that match everything given.
type selectorIn struct {
	Lane        string `form:"lane" json:"lane,omitempty" max:"1000" doc:"lane, as the list of lanes names it"`
	Destination string `form:"destination" json:"destination,omitempty" max:"255" doc:"domain of the recipient"`
	Domain      string `form:"domain" json:"domain,omitempty" max:"255" doc:"sending domain"`
	Account     string `form:"account" json:"account,omitempty" max:"100" doc:"id of the sending account"`
	Tag         string `form:"tag" json:"tag,omitempty" max:"200" doc:"first tag of the message"`
	Recipient   string `form:"recipient" json:"recipient,omitempty" max:"1000" doc:"address of the recipient"`
	Message     string `form:"message" json:"message,omitempty" max:"1000" doc:"message: id, Message-Id or storage key"`
	ID          string `form:"id" json:"id,omitempty" max:"20" doc:"id of one delivery"`
}

// selector turns names into what the queue knows. NotFound for a sending domain
// or message that does not exist.
func (a *Admin) selector(ctx context.Context, in *selectorIn) (s queue.Selector, err error) {
	if err := bounded(in.Lane, in.Destination, in.Domain, in.Account, in.Tag, in.Recipient, in.Message, in.ID); err != nil {
		return s, err
	}
	s = queue.Selector{Lane: in.Lane, AccountID: in.Account, Tag: in.Tag, Recipient: in.Recipient}
	if s.Destination, err = destinationName(in.Destination); err != nil {
		return s, err
	}
	if in.Domain != "" {
		d, err := a.Domains.ByName(ctx, in.Domain)
		if err != nil {
			return s, err
		}
		s.DomainID = d.ID
	}
	if in.Message != "" {
		m, err := a.Messages.Lookup(ctx, "", in.Message)
		if err != nil {
			return s, err
		}
		s.MessageID = m.ID
	}
	if in.ID != "" {
		s.DeliveryID, err = parseID(in.ID)
	}
	return s, err
}

// strict decodes a JSON body and refuses members it does not know.
func strict(data []byte, to any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	err := dec.Decode(to)
	if name, unknown := strings.CutPrefix(fmt.Sprint(err), "json: unknown field "); unknown {
		return errs.New(errs.Invalid, "unknown member %s", name)
	}
	return err
}

// maxWords bounds the texts of a request, maxReason a reason, in bytes.
const (
	maxWords  = 1000
	maxReason = 500
)

// bounded refuses texts that are too long.
func bounded(texts ...string) error {
	for _, s := range texts {
		if len(s) > maxWords {
			return errs.New(errs.Invalid, "a value is longer than %d bytes", maxWords)
		}
	}
	return nil
}

// reasoned checks a reason. What is required is one that says something.
func reasoned(text, missing string) (string, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "" && missing != "":
		return "", errs.New(errs.Invalid, "%s", missing)
	case len(text) > maxReason || strings.ContainsFunc(text, unicode.IsControl):
		return "", errs.New(errs.Invalid, "the reason is longer than %d bytes or has control characters", maxReason)
	}
	return text, nil
}

// destinationName is a recipient domain as the queue stores it.
func destinationName(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	if i := strings.LastIndexByte(name, '@'); i >= 0 {
		return "", errs.New(errs.Invalid, "a destination is a domain: %s, not an address", name[i+1:])
	}
	ascii, err := dnsx.ASCIIName(name)
	if err != nil { // an address literal, or what else a recipient may have had
		return strings.ToLower(name), nil
	}
	return ascii, nil
}

func parseID(s string) (int64, error) {
	id, err := strconv.ParseInt(s, 10, 64)
	if err != nil || id <= 0 {
		return 0, errs.New(errs.Invalid, "%q is not an id: ids are numbers", s)
	}
	return id, nil
}

// names of sending domains, each looked up once.
type domainNames struct {
	a  *Admin
	by map[int64]string
}

func (a *Admin) names() *domainNames { return &domainNames{a, map[int64]string{}} }

// of returns the name of a sending domain, its number when it is gone.
func (n *domainNames) of(ctx context.Context, id int64) (string, error) {
	if name, ok := n.by[id]; ok {
		return name, nil
	}
	d, err := n.a.Domains.ByID(ctx, id)
	switch {
	case err == nil:
		n.by[id] = d.Name
	case errs.Is(err, errs.NotFound):
		n.by[id] = strconv.FormatInt(id, 10)
	default:
		return "", err
	}
	return n.by[id], nil
}

// at is a time the queue keeps in microseconds; the zero time for none.
func at(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return clock.FromMicro(us)
}
