package webhook

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"postroad/internal/base/errs"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
)

// callOps show and repeat calls. They are ours: Mailgun has no such API.
func (s *Service) callOps() []op.Op {
	return []op.Op{
		op.New("GET", "/v1/postroad/webhook-calls", op.Webhooks, op.Read, "List webhook calls with their attempts", s.listCalls),
		op.New("GET", "/v1/postroad/webhook-calls/{id}", op.Webhooks, op.Read, "Get a webhook call with its attempts", s.getCall),
		op.New("POST", "/v1/postroad/webhook-calls/{id}/replay", op.Webhooks, op.Write, "Make a webhook call again now", s.replayCall),
	}
}

type listCallsIn struct {
	MessageID int64  `query:"message_id" doc:"Only calls about this message: its row id"`
	State     string `query:"state" enum:"waiting,delivered,rejected,failed" doc:"Only calls in this state"`
	Before    int64  `query:"before" doc:"Only calls older than this one: the next of the page before"`
	Limit     int    `query:"limit" default:"100" min:"1" max:"300" doc:"Number of calls"`
}

type callIn struct {
	ID string `path:"id" doc:"Id of the call"`
}

// Ids are JSON strings because they do not fit a double.
type callView struct {
	ID        string          `json:"id"`
	EventType string          `json:"event_type"`
	EventID   string          `json:"event_row"`
	MessageID string          `json:"message_row"`
	URL       string          `json:"url"`
	State     State           `json:"state"`
	NextAt    *time.Time      `json:"next_attempt_at"`
	CreatedAt time.Time       `json:"created_at"`
	Payload   json.RawMessage `json:"event-data"`
	Attempts  []attemptView   `json:"attempts"`
}

type attemptView struct {
	Number   int         `json:"number"`
	At       time.Time   `json:"at"`
	Seconds  float64     `json:"seconds"`
	Status   int         `json:"status"`
	Error    string      `json:"error,omitempty"`
	Request  requestView `json:"request"`
	Response string      `json:"response"`
	NextAt   *time.Time  `json:"next_attempt_at"`
}

type requestView struct {
	Method string      `json:"method"`
	URL    string      `json:"url"`
	Header [][2]string `json:"headers"`
	Body   string      `json:"body"`
}

type callsOut struct {
	Items []callView `json:"items"`
	Next  string     `json:"next,omitempty"` // for before, when there may be more
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func viewCall(c *Call) callView {
	v := callView{ID: strconv.FormatInt(c.ID, 10), EventType: c.EventType, EventID: strconv.FormatInt(c.EventID, 10),
		MessageID: strconv.FormatInt(c.MessageID, 10), URL: c.URL, State: c.State, NextAt: optional(c.Due),
		CreatedAt: c.CreatedAt, Payload: json.RawMessage(c.Payload), Attempts: []attemptView{}}
	for _, a := range c.Attempts {
		v.Attempts = append(v.Attempts, attemptView{Number: a.Number, At: a.At, Seconds: a.Duration.Seconds(), Status: a.Status,
			Error: a.Error, Request: requestView(a.Request), Response: a.Response, NextAt: optional(a.Next)})
	}
	return v
}

func (s *Service) listCalls(ctx context.Context, in *listCallsIn) (*callsOut, error) {
	list, err := s.Calls(ctx, Query{AccountID: account.From(ctx).AccountID, MessageID: in.MessageID, State: State(in.State),
		Before: in.Before, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	out := &callsOut{Items: []callView{}}
	for i := range list {
		out.Items = append(out.Items, viewCall(&list[i]))
	}
	if in.Limit > 0 && len(list) == in.Limit {
		out.Next = strconv.FormatInt(list[len(list)-1].ID, 10)
	}
	return out, nil
}

func callID(text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, errs.Wrap(errs.NotFound, err, "webhook call not found")
	}
	return id, nil
}

func (s *Service) getCall(ctx context.Context, in *callIn) (*callView, error) {
	id, err := callID(in.ID)
	if err != nil {
		return nil, err
	}
	c, err := s.Call(ctx, account.From(ctx).AccountID, id)
	if err != nil {
		return nil, err
	}
	v := viewCall(c)
	return &v, nil
}

func (s *Service) replayCall(ctx context.Context, in *callIn) (*op.Message, error) {
	id, err := callID(in.ID)
	if err != nil {
		return nil, err
	}
	if err := s.Replay(ctx, account.From(ctx).AccountID, id); err != nil {
		return nil, err
	}
	return &op.Message{Message: "Webhook call will be made again now"}, nil
}
