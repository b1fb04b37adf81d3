package message

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"postroad/internal/base/errs"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
	"postroad/internal/core/event"
	"postroad/internal/core/timing"
	"postroad/internal/mail/smtp"
)

// The operations below are ours, not Mailgun's: what the panel and the command
// line show, as an API.

func (s *Service) viewOps() []op.Op {
	return []op.Op{
		op.New("GET", "/v1/postroad/messages", op.Messages, op.Read, "List messages with the state of each recipient", s.listMessages),
		op.New("GET", "/v1/postroad/messages/{id}", op.Messages, op.Read, "Get one message with its attempts and SMTP conversations", s.getMessage),
	}
}

type listIn struct {
	Domain string `query:"domain" doc:"only messages of this sending domain"`
	Before string `query:"before" doc:"id of a message: only older ones"`
	Limit  int    `query:"limit" default:"25" min:"1" max:"300" doc:"messages wanted"`
}

type messageItem struct {
	ID         string          `json:"id"`
	MessageID  string          `json:"message-id"`
	StorageKey string          `json:"storage-key"`
	Created    time.Time       `json:"created"`
	Domain     string          `json:"domain"`
	From       string          `json:"from"`
	Subject    string          `json:"subject"`
	Tags       []string        `json:"tags"`
	Size       int64           `json:"size"`
	Recipients []recipientItem `json:"recipients"`
}

type recipientItem struct {
	Address  string         `json:"address"`
	Status   Status         `json:"status"`
	NextTry  *time.Time     `json:"next-try,omitempty"`
	Timing   *timing.Choice `json:"timing,omitempty"`
	Attempts []attemptItem  `json:"attempts,omitempty"`
	Code     int            `json:"code,omitempty"`
	Message  string         `json:"message,omitempty"`
}

type attemptItem struct {
	Time     time.Time             `json:"time"`
	Status   *event.DeliveryStatus `json:"delivery-status"`
	Severity string                `json:"severity,omitempty"`
	Reason   string                `json:"reason,omitempty"`
	SMTP     []string              `json:"smtp,omitempty"`
}

type listOut struct {
	Items []messageItem `json:"items"`
	Next  string        `json:"next,omitempty"`
}

func (s *Service) listMessages(ctx context.Context, in *listIn) (*listOut, error) {
	before, err := rowID(in.Before)
	if err != nil {
		return nil, err
	}
	var domainID int64
	if in.Domain != "" {
		d, err := s.Domains.Owned(ctx, account.From(ctx), in.Domain)
		if err != nil {
			return nil, err
		}
		domainID = d.ID
	}
	list, err := s.Recent(ctx, account.From(ctx).AccountID, domainID, before, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &listOut{Items: []messageItem{}}
	shown := slices.DeleteFunc(slices.Clone(list), s.Hidden)
	views, err := s.Views(ctx, shown)
	if err != nil {
		return nil, err
	}
	for _, v := range views {
		out.Items = append(out.Items, item(v, false))
	}
	if len(list) == in.Limit {
		out.Next = strconv.FormatInt(list[len(list)-1].ID, 10)
	}
	return out, nil
}

func rowID(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	id, err := strconv.ParseInt(s, 10, 64)
	if err != nil || id <= 0 {
		return 0, errs.New(errs.Invalid, "'%s' is not a message id", shorten(s, 40))
	}
	return id, nil
}

type getIn struct {
	ID string `path:"id" doc:"id of the list, message-id, or storage key"`
}

func (s *Service) getMessage(ctx context.Context, in *getIn) (*messageItem, error) {
	m, err := s.Lookup(ctx, account.From(ctx).AccountID, in.ID)
	if err != nil {
		return nil, err
	}
	v, err := s.View(ctx, m)
	if err != nil {
		return nil, err
	}
	out := item(v, true)
	return &out, nil
}

// Lookup finds a message of the account ("" for any) by row id, storage key or
// message id, with or without brackets.
func (s *Service) Lookup(ctx context.Context, accountID, id string) (*Message, error) {
	var m *Message
	var err error
	switch row, perr := rowID(id); {
	case perr == nil && row > 0:
		m, err = s.ByID(ctx, row)
	case strings.Contains(id, "@"):
		m, err = s.one(ctx, "WHERE m.message_id = ? AND (? = '' OR m.account_id = ?) ORDER BY m.id DESC LIMIT 1", strings.Trim(id, "<>"), accountID, accountID)
	default:
		m, err = s.one(ctx, "WHERE m.id = ? AND m.storage_key = ?", keyID(id), id)
	}
	if err != nil {
		return nil, err
	}
	if accountID != "" && m.AccountID != accountID || s.Hidden(m) {
		return nil, errNotFound()
	}
	return m, nil
}

func item(v *View, full bool) messageItem {
	out := messageItem{ID: strconv.FormatInt(v.ID, 10), MessageID: v.MessageID, StorageKey: v.StorageKey, Created: v.CreatedAt,
		Domain: v.Domain, From: v.Meta.From, Subject: v.Meta.Subject, Tags: v.Meta.Options.Tags, Size: v.Size, Recipients: []recipientItem{}}
	if out.Tags == nil {
		out.Tags = []string{}
	}
	for i := range v.Recipients {
		out.Recipients = append(out.Recipients, recipient(&v.Recipients[i], full))
	}
	return out
}

func recipient(r *RecipientView, full bool) recipientItem {
	out := recipientItem{Address: r.Address, Status: r.Status, Timing: r.Timing}
	if !r.NextTry.IsZero() {
		out.NextTry = &r.NextTry
	}
	switch {
	case r.Last == nil:
	case r.Last.Doc.Reject != nil:
		out.Message = r.Last.Doc.Reject.Description
	case r.Last.Doc.DeliveryStatus != nil:
		out.Code, out.Message = r.Last.Doc.DeliveryStatus.Code, r.Last.Doc.DeliveryStatus.Message
	}
	if full {
		for _, e := range r.Attempts {
			out.Attempts = append(out.Attempts, attemptItem{Time: e.Doc.Timestamp.Time(), Status: e.Doc.DeliveryStatus,
				Severity: e.Doc.Severity, Reason: e.Doc.Reason, SMTP: conversation(e.Detail)})
		}
	}
	return out
}

// conversation turns a stored transcript into lines for reading.
func conversation(detail string) []string {
	lines, err := smtp.DecodeTranscript(detail)
	if err != nil {
		return nil
	}
	var out []string
	for _, l := range lines {
		out = append(out, string(l.Dir)+": "+l.Text)
	}
	return out
}
