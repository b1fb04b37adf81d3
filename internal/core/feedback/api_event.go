package feedback

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
)

const eventsDoc = "The newest come first. Events are found by what all of the given parameters say, those of metadata by the first 20 of its members " +
	"whose value is a text, a number, true or false. They are kept for 30 days. `cursor` of an answer gets the events after it; an answer without one is the last."

// maxAnswer is how many bytes of events an answer holds, if it holds more than one.
const maxAnswer = 4 << 20

type listIn struct {
	Type      string   `query:"type" enum:"sent,delivered,opened,clicked,bounced,failed,complained,unsubscribed,delayed" doc:"what happened"`
	Recipient string   `query:"recipient" max:"512" doc:"address"`
	MessageID string   `query:"messageId" max:"1024" doc:"the provider's id of the message, with or without angle brackets"`
	Campaign  string   `query:"campaign_id" max:"256" doc:"campaign_id of the metadata"`
	Member    string   `query:"participant_id" max:"256" doc:"participant_id of the metadata"`
	Metadata  []string `query:"metadata" max:"5" doc:"NAME:VALUE of the metadata; may be given more than once"`
	Since     string   `query:"since" max:"64" doc:"time of the oldest: milliseconds since 1970, or RFC 3339"`
	Until     string   `query:"until" max:"64" doc:"time before which they happened, in the same forms"`
	Limit     int      `query:"limit" default:"100" min:"1" max:"300" doc:"how many at most; fewer if they are large"`
	Cursor    string   `query:"cursor" max:"64" doc:"cursor of the answer before"`
}

type listOut struct {
	Events []json.RawMessage `json:"events" doc:"events as they are forwarded"`
	Cursor string            `json:"cursor,omitempty" doc:"where to go on, if there is more"`
}

func (s *Service) listEvents(ctx context.Context, in *listIn) (*listOut, error) {
	q, err := in.query()
	if err != nil {
		return nil, err
	}
	var docs [][]byte
	var next *position
	err = s.DB.Read(ctx, func(tx *db.Tx) (err error) {
		docs, next, err = selectEvents(tx, q)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &listOut{Events: make([]json.RawMessage, len(docs))}
	for i, d := range docs {
		out.Events[i] = d
	}
	if next != nil {
		out.Cursor = next.String()
	}
	return out, nil
}

// query has the rarest key first.
func (in *listIn) query() (*query, error) {
	q := &query{limit: in.Limit, bytes: maxAnswer}
	add := func(given bool, key int64) {
		if given {
			q.keys = append(q.keys, key)
		}
	}
	add(in.MessageID != "", messageKey(in.MessageID))
	add(in.Member != "", metadataKey("participant_id", in.Member))
	add(in.Recipient != "", recipientKey(in.Recipient))
	for _, m := range in.Metadata {
		name, v, ok := strings.Cut(m, ":")
		if !ok {
			return nil, errs.New(errs.Invalid, "metadata is invalid").WithHint("it has the form NAME:VALUE")
		}
		add(true, metadataKey(name, v))
	}
	add(in.Campaign != "", metadataKey("campaign_id", in.Campaign))
	add(in.Type != "", typeKey(Type(in.Type)))
	var err error
	if q.since, err = parseTime("since", in.Since); err != nil {
		return nil, err
	}
	if q.until, err = parseTime("until", in.Until); err != nil {
		return nil, err
	}
	q.before, err = parsePosition(in.Cursor)
	return q, err
}

// parseTime returns microseconds, 0 for "".
func parseTime(name, s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil && ms > 0 && ms <= latest.UnixMilli() {
		return ms * 1000, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.Unix() <= 0 || t.After(latest) {
		return 0, errs.New(errs.Invalid, "%s is invalid", name).WithHint("give milliseconds since 1970, or a time like 2026-01-02T15:04:05Z")
	}
	return t.UnixMicro(), nil
}

// String is the cursor of a position.
func (p *position) String() string {
	return strconv.FormatInt(p.at, 36) + "." + strconv.FormatInt(p.id, 36)
}

func parsePosition(s string) (*position, error) {
	if s == "" {
		return nil, nil
	}
	at, id, _ := strings.Cut(s, ".")
	p := &position{}
	var err, err2 error
	p.at, err = strconv.ParseInt(at, 36, 64)
	p.id, err2 = strconv.ParseInt(id, 36, 64)
	if err != nil || err2 != nil {
		return nil, errs.New(errs.Invalid, "cursor is invalid")
	}
	return p, nil
}
