package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
)

// Statuses of campaigns.
const (
	pending    = "pending"
	processing = "processing"
	paused     = "paused"
	completed  = "completed"
	failedAll  = "failed" // nobody could be sent to
)

// campaign is a row of gateway_campaign.
type campaign struct {
	id                                            int64
	uuid, keyHash, sealed, driver, accountID      string
	name, html, status                            string
	doc                                           plan
	recipients, batches, batchesDone, sent, fails int64
	created, started, finished                    int64
}

// plan is what was asked for.
type plan struct {
	From     string   `json:"from"` // as in the header field
	ReplyTo  string   `json:"reply_to,omitempty"`
	Subject  string   `json:"subject"`
	URL      string   `json:"url"`
	Tags     []string `json:"tags,omitempty"`
	Metadata object   `json:"metadata,omitempty"`
}

// crowd is who a campaign is for, until it is started.
type crowd struct {
	Recipients []recipient `json:"recipients,omitempty"`
	IDs        []int64     `json:"ids,omitempty"`
}

func (c *campaign) sealContext() string { return "gateway_campaign.sealed:" + c.uuid }

// insert gives a campaign its number. Two nodes may choose the same at once.
func (s *Service) insert(ctx context.Context, c *campaign, to *crowd) error {
	text, err := json.Marshal(to)
	if err != nil {
		return err
	}
	for try := 0; ; try++ {
		err := s.DB.Write(ctx, func(tx *db.Tx) (err error) {
			c.created = tx.Now
			c.id, err = insertCampaign(tx, c, text)
			return err
		})
		if !db.IsConflict(err) || try == 5 {
			return err
		}
	}
}

// find returns a campaign; NotFound without one.
func (s *Service) campaign(ctx context.Context, uuid string) (c *campaign, err error) {
	err = s.DB.Read(ctx, func(tx *db.Tx) error {
		c, err = selectCampaign(tx, strings.ToLower(uuid))
		return err
	})
	if errors.Is(err, db.ErrNoRows) {
		return nil, errs.New(errs.NotFound, "Campaign not found")
	}
	return c, err
}

// start makes batches of a pending campaign and sets it going.
func (s *Service) start(ctx context.Context, c *campaign) error {
	if c.status != pending {
		return wrongStatus(c, "sent")
	}
	html, err := s.fetch(ctx, c.doc.URL)
	if err != nil {
		return err
	}
	to, failures, err := s.crowd(ctx, c)
	if err != nil {
		return err
	}
	if len(to) == 0 {
		return &refusal{public: errNobody(), details: "no recipient is left", failed: failures}
	}
	err = s.DB.Write(ctx, func(tx *db.Tx) error {
		ok, err := startCampaign(tx, c, html, int64(len(to)+len(failures)), int64(len(failures)))
		if err != nil {
			return err
		}
		if !ok {
			return wrongStatus(c, "sent")
		}
		return stageBatches(tx, c, s.carrier(c.driver, "", c.doc.From).BatchSize(), to, failures)
	})
	if err == nil {
		s.poke()
	}
	return err
}

// crowd is who a campaign is sent to, and who gets nothing.
func (s *Service) crowd(ctx context.Context, c *campaign) ([]recipient, []Failed, error) {
	var text []byte
	if err := s.DB.Read(ctx, func(tx *db.Tx) (err error) {
		text, err = selectAudience(tx, c.id)
		return err
	}); err != nil {
		return nil, nil, err
	}
	var who crowd
	if len(text) == 0 { // started meanwhile
		return nil, nil, wrongStatus(c, "sent")
	}
	if err := json.Unmarshal(text, &who); err != nil {
		return nil, nil, err
	}
	more, unknown, err := s.resolve(ctx, c.accountID, who.IDs)
	if err != nil {
		return nil, nil, &refusal{public: errs.Wrap(errs.Internal, err, "Failed to look up participants"), details: reason(err)}
	}
	to, twice := once(append(who.Recipients, more...))
	return to, append(unknown, twice...), nil
}

func stageBatches(tx *db.Tx, c *campaign, size int, to []recipient, failures []Failed) error {
	n := int64(0)
	if len(failures) > 0 { // who gets nothing is told with the rest
		if err := insertBatch(tx, &batch{campaign: c.id, status: batchDone, failures: failures}); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(to, size) {
		n++
		if err := insertBatch(tx, &batch{campaign: c.id, n: n, provider: c.driver, status: batchWaiting, due: tx.Now, to: part}); err != nil {
			return err
		}
	}
	c.batches, c.recipients, c.fails = n, int64(len(to)+len(failures)), int64(len(failures))
	c.status, c.started = processing, tx.Now
	return setBatches(tx, c.id, n)
}

func wrongStatus(c *campaign, what string) error {
	return &refusal{public: errs.New(errs.Invalid, "Campaign cannot be %s", what), details: "its status is " + c.status}
}

// turn pauses a campaign or goes on with it: both its row and its batches change.
func (s *Service) turn(ctx context.Context, c *campaign, from, to, batchFrom, batchTo, what string) error {
	err := s.DB.Write(ctx, func(tx *db.Tx) error {
		ok, err := moveCampaign(tx, c.id, from, to)
		if err != nil {
			return err
		}
		if !ok {
			return wrongStatus(c, what)
		}
		return moveBatches(tx, c.id, batchFrom, batchTo)
	})
	if err == nil {
		c.status = to
		s.poke()
	}
	return err
}

// poke wakes the loop.
func (s *Service) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
