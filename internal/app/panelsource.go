package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
	"postroad/internal/core/domain"
	"postroad/internal/core/event"
	"postroad/internal/core/message"
	"postroad/internal/core/webhook"
	"postroad/internal/edge/panel"
	"postroad/internal/mail/mime"
)

// panelSource shows the services to the panel. Who is logged in is an account
// id and the role of the key, with a slash between; in dev mode it is empty and
// means an administrator of the first account.
type panelSource struct{ a *App }

func (a *App) panelSource() panel.Source { return &panelSource{a} }

// scanBudget bounds how many messages one list page looks at.
const scanBudget = 2000

// Authenticate takes a key whose role may read messages.
func (p *panelSource) Authenticate(ctx context.Context, key string) (string, error) {
	c, err := p.a.accounts.Authenticate(ctx, key)
	if errs.Is(err, errs.Unauthorized) || err == nil && (c.Domain != "" || !account.Allowed(c.Role, op.Messages, op.Read)) {
		return "", panel.ErrKey
	}
	if err != nil {
		return "", err
	}
	return c.AccountID + "/" + c.Role, nil
}

func (p *panelSource) account(ctx context.Context) (string, error) {
	c, err := p.user(ctx)
	return c.AccountID, err
}

// user is who looks at the panel, as the operations know callers.
func (p *panelSource) user(ctx context.Context) (*account.Caller, error) {
	c := &account.Caller{KeyID: "panel", Role: account.Admin}
	if who := panel.Who(ctx); who != "" {
		c.AccountID, c.Role, _ = strings.Cut(who, "/")
		return c, nil
	}
	if !p.a.dev() {
		return c, panel.ErrKey
	}
	var err error
	c.AccountID, err = p.a.accounts.First(ctx)
	return c, err
}

// may returns a context with the user if the role allows what a page does, as
// its API twin would.
func (p *panelSource) may(ctx context.Context, g op.Group, a op.Access) (context.Context, *account.Caller, error) {
	c, err := p.user(ctx)
	if err != nil {
		return ctx, c, err
	}
	if !account.Allowed(c.Role, g, a) {
		return ctx, c, &panel.Refusal{Text: "The role of your key, " + c.Role + ", does not allow this."}
	}
	return account.With(ctx, c), c, nil
}

// missing maps the core's not-found to the panel's.
func missing(err error) error {
	if errs.Is(err, errs.NotFound) {
		return fmt.Errorf("%w: %w", panel.ErrNotFound, err)
	}
	var e *errs.Error
	if errors.As(err, &e) && e.Kind == errs.Invalid {
		return &panel.Refusal{Text: e.Public}
	}
	return err
}

func (p *panelSource) find(ctx context.Context, id string) (*message.Message, error) {
	acc, err := p.account(ctx)
	if err != nil {
		return nil, err
	}
	m, err := p.a.messages.Lookup(ctx, acc, id)
	return m, missing(err)
}

// Messages lists recipients of recent messages. Filters are applied to the
// rows as they are made; how far back one page looks is bounded.
func (p *panelSource) Messages(ctx context.Context, q panel.Query) (panel.MessagePage, error) {
	acc, err := p.account(ctx)
	if err != nil {
		return panel.MessagePage{}, err
	}
	before, _ := strconv.ParseInt(q.Before, 10, 64) // a cursor that is none means the newest page
	after, _ := strconv.ParseInt(q.After, 10, 64)
	l := &lister{p: p, q: q, account: acc, page: panel.MessagePage{Counts: map[panel.Status]int{}}}
	if err := l.run(ctx, before, after); err != nil {
		return panel.MessagePage{}, err
	}
	return l.page, nil
}

// recipient returns the recipient of the message that is meant: the address
// asked for as the message has it, otherwise the first.
func recipient(m *message.Message, asked string) string {
	for _, r := range m.Meta.Recipients {
		if asked != "" && strings.EqualFold(r, asked) {
			return r
		}
	}
	return first(m.Meta.Recipients)
}

// Message gathers everything about one message.
func (p *panelSource) Message(ctx context.Context, id, rcpt string) (panel.MessageDetail, error) {
	m, err := p.find(ctx, id)
	if err != nil {
		return panel.MessageDetail{}, err
	}
	v, err := p.a.messages.View(ctx, m)
	if err != nil {
		return panel.MessageDetail{}, err
	}
	rcpt = recipient(m, rcpt)
	d := detail(v, rcpt)
	d.Personal = m.Meta.Batch || p.a.dev() && m.Personal()
	if err := p.listed(ctx, v, rcpt, &d); err != nil {
		return panel.MessageDetail{}, err
	}
	if err := p.content(m, rcpt, &d); err != nil {
		return panel.MessageDetail{}, err
	}
	calls, err := p.a.webhooks.Calls(ctx, webhook.Query{AccountID: m.AccountID, MessageID: m.ID, Limit: 100})
	if err != nil {
		return panel.MessageDetail{}, err
	}
	for i := range calls {
		d.Webhooks = append(d.Webhooks, p.call(ctx, &calls[i]))
	}
	return d, p.neighbours(ctx, m, &d)
}

// listed says of the recipient the page is about why it is suppressed, to those
// whose role may read the lists.
func (p *panelSource) listed(ctx context.Context, v *message.View, rcpt string, d *panel.MessageDetail) error {
	i := slices.IndexFunc(d.Recipients, func(r panel.Recipient) bool { return r.Address == rcpt && r.Status == panel.Suppressed })
	who, err := p.user(ctx)
	if err != nil || i < 0 || !account.Allowed(who.Role, op.Suppressions, op.Read) {
		return err
	}
	x, err := p.a.suppress.Why(ctx, v.DomainID, rcpt, v.Meta.Options.Tags)
	if err != nil {
		return err
	}
	d.Recipients[i].Listed = &panel.Listed{}
	if r := x.Decides; r != nil {
		out := &panel.Listed{Since: time.UnixMicro(r.CreatedAt), Because: strings.TrimRight(r.Because, ". "), Subject: r.Cause.Subject}
		d.Recipients[i].Listed = out
		if r.Cause.Message != 0 {
			m, err := p.find(ctx, strconv.FormatInt(r.Cause.Message, 10))
			if err != nil {
				return ignoreMissing(err)
			}
			out.ID = strconv.FormatInt(m.ID, 10)
		}
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, panel.ErrNotFound) {
		return nil
	}
	return err
}

func (p *panelSource) content(m *message.Message, rcpt string, d *panel.MessageDetail) error {
	raw, err := p.a.messages.CopyFor(m, rcpt)
	if err != nil {
		return err
	}
	parsed, err := mime.Parse(raw, mime.Limits{})
	if err != nil {
		return err
	}
	d.Headers, d.Text, d.HTML = parsed.Header, parsed.Text, parsed.HTML
	for i := range parsed.Attachments {
		d.Parts = append(d.Parts, part(i, &parsed.Attachments[i]))
	}
	return nil
}

func part(i int, a *mime.Part) panel.Part {
	return panel.Part{Index: i, Name: a.Name, ContentType: a.ContentType, Size: int64(a.Size), ContentID: a.ContentID, Inline: a.Inline}
}

// neighbours finds the messages before and after in the list.
func (p *panelSource) neighbours(ctx context.Context, m *message.Message, d *panel.MessageDetail) error {
	older, newer, err := p.a.messages.Neighbours(ctx, m)
	if older != 0 {
		d.Older = strconv.FormatInt(older, 10)
	}
	if newer != 0 {
		d.Newer = strconv.FormatInt(newer, 10)
	}
	return err
}

// Part returns one attachment.
func (p *panelSource) Part(ctx context.Context, id, rcpt string, index int) (panel.Part, []byte, error) {
	raw, err := p.Raw(ctx, id, rcpt)
	if err != nil {
		return panel.Part{}, nil, err
	}
	parsed, err := mime.Parse(raw, mime.Limits{})
	if err != nil {
		return panel.Part{}, nil, err
	}
	if index < 0 || index >= len(parsed.Attachments) {
		return panel.Part{}, nil, panel.ErrNotFound
	}
	a := &parsed.Attachments[index]
	return part(index, a), a.Data, nil
}

// Raw returns the MIME of a recipient's copy.
func (p *panelSource) Raw(ctx context.Context, id, rcpt string) ([]byte, error) {
	m, err := p.find(ctx, id)
	if err != nil {
		return nil, err
	}
	return p.a.messages.CopyFor(m, recipient(m, rcpt))
}

// DeleteMessage ends the retention of a message.
func (p *panelSource) DeleteMessage(ctx context.Context, id string) error {
	if _, _, err := p.may(ctx, op.Messages, op.Write); err != nil {
		return err
	}
	m, err := p.find(ctx, id)
	if err != nil {
		return err
	}
	return p.a.messages.Delete(ctx, m)
}

// ClearMessages empties the inbox of dev mode.
func (p *panelSource) ClearMessages(ctx context.Context) error {
	_, c, err := p.may(ctx, op.Messages, op.Write)
	if err != nil {
		return err
	}
	return p.a.messages.DeleteAll(ctx, c.AccountID)
}

// Resend submits a message again.
func (p *panelSource) Resend(ctx context.Context, id string, to []string) (string, error) {
	ctx, _, err := p.may(ctx, op.Messages, op.Write)
	if err != nil {
		return "", err
	}
	m, err := p.find(ctx, id)
	if err != nil {
		return "", err
	}
	raw, err := p.a.messages.Body(m)
	if err != nil {
		return "", err
	}
	n, err := p.a.messages.Resend(ctx, m, raw, to)
	if err != nil {
		return "", missing(err)
	}
	return strconv.FormatInt(n.ID, 10), nil
}

// Domains lists the account's domains with their records.
func (p *panelSource) Domains(ctx context.Context) ([]panel.Domain, error) {
	acc, err := p.account(ctx)
	if err != nil {
		return nil, err
	}
	list, _, err := p.a.domains.List(ctx, acc, domain.Query{Sort: "name", Limit: 1000})
	if err != nil {
		return nil, err
	}
	out := make([]panel.Domain, 0, len(list))
	for _, d := range list {
		receiving, sending, err := p.a.domains.DNSRecords(ctx, d)
		if err != nil {
			return nil, err
		}
		shown := showDomain(d, sending, receiving)
		if d.Settings.Tracking.Active() {
			shown.Links = strings.TrimPrefix(p.a.linkHint(d), "tracking ")
		}
		out = append(out, shown)
	}
	return out, nil
}

// VerifyDomain checks a domain's records now.
func (p *panelSource) VerifyDomain(ctx context.Context, name string) error {
	ctx, _, err := p.may(ctx, op.Domains, op.Write)
	if err != nil {
		return err
	}
	d, err := p.a.domains.Owned(ctx, account.From(ctx), name)
	if err != nil {
		return missing(err)
	}
	_, err = p.a.domains.Verify(ctx, d)
	return err
}

func showDomain(d *domain.Domain, lists ...[]domain.Record) panel.Domain {
	out := panel.Domain{Name: d.Name, State: d.State, Created: d.CreatedAt, Checked: d.CheckedAt}
	for _, list := range lists {
		for _, r := range list {
			out.Records = append(out.Records, showRecord(d, r))
		}
	}
	return out
}

func showRecord(d *domain.Domain, r domain.Record) panel.Record {
	out := panel.Record{Type: r.Type, Name: r.Name, Value: r.Value, Found: r.Cached, State: panel.RecordUnknown}
	if out.Name == "" {
		out.Name = d.Name
	}
	if n, err := strconv.Atoi(r.Priority); err == nil {
		out.Priority = n
	}
	switch {
	case r.Valid == domain.Valid:
		out.State = panel.RecordValid
	case r.Valid == domain.Invalid && len(r.Cached) == 0:
		out.State = panel.RecordMissing
	case r.Valid == domain.Invalid:
		out.State = panel.RecordWrong
	}
	switch {
	case r.Type == "MX":
		out.Purpose = "Receiving"
	case strings.Contains(r.Name, "._domainkey."):
		out.Purpose, out.Required = "DKIM", true
	case r.Type == "TXT":
		out.Purpose, out.Required = "SPF", true
	default:
		out.Purpose = "Tracking"
	}
	return out
}

// Subscribe turns durable events into notices.
func (p *panelSource) Subscribe(ctx context.Context) <-chan panel.Notice {
	events, stop := p.a.events.Subscribe()
	out := make(chan panel.Notice, 64)
	go p.forward(ctx, events, out, stop)
	return out
}

func (p *panelSource) forward(ctx context.Context, in <-chan *event.Event, out chan<- panel.Notice, stop func()) {
	defer close(out)
	defer stop()
	acc, err := p.account(ctx)
	if err != nil {
		return
	}
	send := func(n panel.Notice) {
		select {
		case out <- n:
		default:
		}
	}
	calls := p.a.webhookActivity()
	for {
		tick, stopTick := p.a.clock.After(webhookTick)
		select {
		case e, open := <-in:
			if open && e.AccountID == acc {
				send(panel.Notice{Kind: panel.NoticeMessage, ID: strconv.FormatInt(e.MessageID, 10)})
			}
		case <-tick:
			if now := p.a.webhookActivity(); now != calls {
				calls = now
				send(panel.Notice{Kind: panel.NoticeWebhook})
			}
		case <-p.a.stopping:
			stopTick()
			return
		case <-ctx.Done():
			stopTick()
			return
		}
		stopTick()
	}
}

// webhookTick is how often an open page asks whether webhooks were called.
const webhookTick = time.Second

// webhookActivity changes whenever this program calls a webhook. It is of all
// accounts: the notice that follows names nothing, and the page that asks again
// sees only what is its own.
func (a *App) webhookActivity() int64 {
	n := a.webhooks.Stats()
	return n.Staged + n.Attempts
}

// ReplayWebhook schedules a call again.
func (p *panelSource) ReplayWebhook(ctx context.Context, callID string) error {
	_, c, err := p.may(ctx, op.Webhooks, op.Write)
	if err != nil {
		return err
	}
	id, err := strconv.ParseInt(callID, 10, 64)
	if err != nil {
		return panel.ErrNotFound
	}
	return missing(p.a.webhooks.Replay(ctx, c.AccountID, id))
}

// database describes the store for the system page.
func (a *App) database(ctx context.Context) string {
	name := "SQLite"
	if a.db.Dialect == db.Postgres {
		name = "PostgreSQL"
	}
	n, err := a.db.Size(ctx)
	if err != nil {
		return name
	}
	return fmt.Sprintf("%s, %.1f MB", name, float64(n)/1e6)
}
