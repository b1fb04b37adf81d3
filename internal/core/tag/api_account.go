package tag

import (
	"context"
	"strings"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/errs"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
)

// Limits of a page. Mailgun: 10, 1,000, and 20 with metrics.
const (
	defaultLimit = 10
	maxLimit     = 1000
	maxMeasured  = 20
	maxSkip      = 1_000_000
)

// accountOps are those about the tags of an account.
func (a *api) accountOps() []op.Op {
	const path = "/v1/analytics/tags"
	return []op.Op{
		op.New("POST", path, op.Events, op.Read, "List tags of the account", a.listAccount).
			WithDoc("Tags of the same name in several domains are one. Metrics are sums of all that is kept."),
		op.New("PUT", path, op.Events, op.Write, "Describe a tag of the account", a.describeAccount),
		op.New("DELETE", path, op.Events, op.Write, "Delete a tag of the account and what was counted for it", a.deleteAccount),
		op.New("GET", path+"/limits", op.Events, op.Read, "Get the number of tags of the account", a.accountLimit),
	}
}

// listAccountIn: Mailgun: a form is not refused, and ignored.
type listAccountIn struct {
	Tag         string       `json:"tag" doc:"Only tags that begin with this, in any case"`
	Pagination  paginationIn `json:"pagination" doc:"Order and page"`
	Subaccounts bool         `json:"include_subaccounts" doc:"Also list tags of subaccounts; there are none"`
	Metrics     bool         `json:"include_metrics" doc:"Also show what was counted; 20 tags at most"`
}

type paginationIn struct {
	Sort  string `json:"sort"`
	Skip  int    `json:"skip"`
	Limit int    `json:"limit"`
	Total bool   `json:"include_total"`
}

type listAccountOut struct {
	Items      []accountTag  `json:"items"`
	Pagination paginationOut `json:"pagination"`
}

// accountTag: Mailgun: members in this order, dates with +0000.
type accountTag struct {
	AccountID   string         `json:"account_id"`
	ParentID    string         `json:"parent_account_id" doc:"The account itself: there are no subaccounts"`
	Tag         string         `json:"tag"`
	Description string         `json:"description"`
	FirstSeen   string         `json:"first_seen" doc:"RFC 2822 date of the first event"`
	LastSeen    string         `json:"last_seen" doc:"RFC 2822 date of the last event"`
	Metrics     map[string]any `json:"metrics" doc:"Counts and rates, empty unless include_metrics"`
	AccountName string         `json:"account_name"`
}

type paginationOut struct {
	Sort  string `json:"sort"`
	Skip  int    `json:"skip,omitempty"`
	Limit int    `json:"limit"`
	Total *int64 `json:"total,omitempty"`
}

// query says what in asks for.
func (in *listAccountIn) query(accountID string) (AccountQuery, error) {
	p := &in.Pagination
	q := AccountQuery{AccountID: accountID, Prefix: in.Tag, Skip: p.Skip, Limit: p.Limit, Count: p.Total, Metrics: in.Metrics}
	if p.Skip < 0 || p.Skip > maxSkip || p.Limit < 0 {
		return q, errs.New(errs.Invalid, "'skip' and 'limit' must not be negative, 'skip' not over %d", maxSkip)
	}
	if q.Limit == 0 {
		q.Limit = defaultLimit
	}
	q.Limit = min(q.Limit, maxLimit)
	if q.Metrics {
		q.Limit = min(q.Limit, maxMeasured)
	}
	if p.Sort == "" {
		p.Sort = "lastseen:desc"
	}
	column, direction, _ := strings.Cut(strings.ToLower(p.Sort), ":")
	q.Sort, q.Descending = strings.ReplaceAll(column, "_", ""), direction == "desc"
	if orders[q.Sort] == "" || direction != "" && direction != "asc" && direction != "desc" {
		return q, errs.New(errs.Invalid, "'sort' parameter is invalid: must be lastseen, firstseen or tag, with :asc or :desc")
	}
	return q, nil
}

func (a *api) listAccount(ctx context.Context, in *listAccountIn) (*listAccountOut, error) {
	q, err := in.query(account.From(ctx).AccountID)
	if err != nil {
		return nil, err
	}
	owner, err := a.account(ctx, q.AccountID)
	if err != nil {
		return nil, err
	}
	page, err := a.ListAccount(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &listAccountOut{Items: []accountTag{}, Pagination: paginationOut{Sort: in.Pagination.Sort, Skip: q.Skip, Limit: q.Limit}}
	if q.Count {
		out.Pagination.Total = &page.Total
	}
	for i := range page.Tags {
		t := &page.Tags[i]
		v := accountTag{AccountID: owner.ID, ParentID: owner.ID, Tag: t.Name, Description: t.Description, FirstSeen: accountTime(t.FirstSeen),
			LastSeen: accountTime(t.LastSeen), Metrics: map[string]any{}, AccountName: owner.Name}
		if q.Metrics {
			c := page.counts[key(t.Name)]
			if c == nil {
				c = &counts{}
			}
			v.Metrics = c.metrics()
		}
		out.Items = append(out.Items, v)
	}
	return out, nil
}

func accountTime(us int64) string { return clock.FromMicro(us).Format(time.RFC1123Z) }

// accountTagIn: Mailgun: the Ruby and Node clients send JSON that they call a form.
type accountTagIn struct {
	Tag string `json:"tag" required:"Missing mandatory parameter: tag" doc:"The tag, in any case"`
}

type describeAccountIn struct {
	accountTagIn
	Description string `json:"description" max:"4096" doc:"The new description"`
}

func (a *api) describeAccount(ctx context.Context, in *describeAccountIn) (*op.Message, error) {
	return said("Tag updated", a.DescribeAll(ctx, account.From(ctx).AccountID, in.Tag, in.Description))
}

func (a *api) deleteAccount(ctx context.Context, in *accountTagIn) (*op.Message, error) {
	return said("Tag deleted", a.DeleteAll(ctx, account.From(ctx).AccountID, in.Tag))
}

type accountLimitOut struct {
	Limit   int  `json:"limit" doc:"Tags the account may have"`
	Count   int  `json:"count" doc:"Tags it has"`
	Reached bool `json:"limit_reached" doc:"Whether new tags are ignored"`
}

func (a *api) accountLimit(ctx context.Context, _ *op.Empty) (*accountLimitOut, error) {
	_, l, err := a.Limits(ctx, 0, account.From(ctx).AccountID)
	return &accountLimitOut{l.Limit, l.Count, l.Count >= l.Limit}, err
}
