package gateway

import (
	"context"
	"math"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
)

const campaignDoc = "The key is kept encrypted until the campaign is finished. template_url is fetched when the campaign is sent; {{variables}} in it and in template_subject are replaced. campaign_id, the id of the answer, is added to the metadata."

const listDoc = "Whose campaigns says the provider's API key in the Authorization header, as Bearer or as the password of Basic."

const startDoc = "Fetches the template, looks up recipient_ids and begins. The campaign goes on by itself, also after a restart."

// maxTold is how many failures are shown with a campaign.
const maxTold = 100

type campaignIn struct {
	letter
	Name         string     `json:"name" max:"200" doc:"for people"`
	Subject      string     `json:"template_subject" max:"2000" doc:"with {{variables}}"`
	URL          string     `json:"template_url" max:"2048" doc:"where the HTML is, with {{variables}}"`
	Recipients   recipients `json:"recipients" doc:"up to 50,000 objects with email, variables and metadata"`
	RecipientIDs numbers    `json:"recipient_ids" doc:"ids of participants"`
}

type campaignOut struct {
	Success  bool         `json:"success"`
	Campaign campaignView `json:"campaign"`
}

// campaignView has the documented members first.
type campaignView struct {
	UUID       string   `json:"uuid"`
	Name       string   `json:"name"`
	Status     string   `json:"status" doc:"pending, processing, paused, completed or failed"`
	Recipients int64    `json:"recipients_count"`
	ID         int64    `json:"id" doc:"campaign_id of the metadata"`
	Driver     string   `json:"driver"`
	From       string   `json:"from"`
	Subject    string   `json:"template_subject"`
	URL        string   `json:"template_url"`
	Progress   progress `json:"progress"`
	Failed     []Failed `json:"failed,omitempty" doc:"who gets nothing, the first 100"`
	Created    string   `json:"created_at"`
	Started    *string  `json:"started_at"`
	Finished   *string  `json:"finished_at"`
}

type progress struct {
	Sent        int64 `json:"sent"`
	Failed      int64 `json:"failed"`
	Pending     int64 `json:"pending"`
	Batches     int64 `json:"batches"`
	BatchesDone int64 `json:"batches_done"`
	Percent     int64 `json:"percent"`
}

func viewOf(c *campaign) campaignView {
	v := campaignView{UUID: c.uuid, Name: c.name, Status: c.status, Recipients: c.recipients, ID: c.id, Driver: c.driver, From: c.doc.From,
		Subject: c.doc.Subject, URL: c.doc.URL, Created: *timeText(c.created), Started: timeText(c.started), Finished: timeText(c.finished)}
	done := c.sent + c.fails
	v.Progress = progress{Sent: c.sent, Failed: c.fails, Pending: c.recipients - done, Batches: c.batches, BatchesDone: c.batchesDone, Percent: 100 * done / max(1, c.recipients)}
	return v
}

// timeText is a time as the dialect writes it, nil for none.
func timeText(us int64) *string {
	if us == 0 {
		return nil
	}
	s := clock.FromMicro(us).UTC().Format(time.RFC3339)
	return &s
}

func (s *Service) createCampaign(ctx context.Context, b *campaignIn) (*campaignOut, error) {
	if !b.complete() || b.Name == "" || b.Subject == "" || b.URL == "" || len(b.Recipients)+len(b.RecipientIDs) == 0 {
		return nil, invalid("driver, api_key, name, from, template_subject, template_url, and recipients or recipient_ids are required")
	}
	if len(b.Recipients)+len(b.RecipientIDs) > maxRecipients {
		return nil, invalid("too many recipients, max is %d", maxRecipients)
	}
	var c checked
	m, err := b.check(&c)
	if err != nil {
		return nil, err
	}
	for i := range b.Recipients {
		b.Recipients[i].Email = c.one(b.Recipients[i].Email)
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	row := &campaign{uuid: ids.UUID(), keyHash: keyHash(b.APIKey), driver: b.Driver, name: b.Name, status: pending,
		recipients: int64(len(b.Recipients) + len(b.RecipientIDs)),
		doc:        plan{From: m.From, ReplyTo: m.ReplyTo, Subject: b.Subject, URL: b.URL, Tags: b.Tags, Metadata: b.Metadata}}
	if len(b.RecipientIDs) > 0 {
		if row.accountID, err = s.owner(ctx, &b.letter); err != nil {
			return nil, err
		}
	}
	row.sealed = s.seal(row, b.APIKey)
	if err := s.insert(ctx, row, &crowd{b.Recipients, b.RecipientIDs}); err != nil {
		return nil, err
	}
	return &campaignOut{true, viewOf(row)}, nil
}

type uuidIn struct {
	UUID string `path:"uuid" doc:"of the campaign"`
}

func (s *Service) getCampaign(ctx context.Context, in *uuidIn) (*campaignOut, error) {
	c, err := s.campaign(ctx, in.UUID)
	if err != nil {
		return nil, err
	}
	out := &campaignOut{true, viewOf(c)}
	err = s.DB.Read(ctx, func(tx *db.Tx) error {
		out.Campaign.Failed, err = selectFailures(tx, c.id, maxTold)
		return err
	})
	return out, err
}

type startOut struct {
	Success bool   `json:"success"`
	Message string `json:"message"`
	Batches int64  `json:"batches"`
	Total   int64  `json:"totalRecipients"`
}

func (s *Service) startCampaign(ctx context.Context, in *uuidIn) (*startOut, error) {
	c, err := s.campaign(ctx, in.UUID)
	if err != nil {
		return nil, err
	}
	if err := s.start(ctx, c); err != nil {
		return nil, err
	}
	return &startOut{true, "Campaign processing started", c.batches, c.recipients}, nil
}

type turnOut struct {
	Success  bool         `json:"success"`
	Message  string       `json:"message"`
	Campaign campaignView `json:"campaign"`
}

func (s *Service) pauseCampaign(ctx context.Context, in *uuidIn) (*turnOut, error) {
	c, err := s.campaign(ctx, in.UUID)
	if err == nil {
		err = s.turn(ctx, c, processing, paused, batchWaiting, batchHeld, "paused")
	}
	if err != nil {
		return nil, err
	}
	return &turnOut{true, "Campaign paused", viewOf(c)}, nil
}

func (s *Service) resumeCampaign(ctx context.Context, in *uuidIn) (*turnOut, error) {
	c, err := s.campaign(ctx, in.UUID)
	if err == nil {
		err = s.turn(ctx, c, paused, processing, batchHeld, batchWaiting, "resumed")
	}
	if err != nil {
		return nil, err
	}
	return &turnOut{true, "Campaign resumed", viewOf(c)}, nil
}

type listIn struct {
	Before int64 `query:"before" default:"0" min:"0" doc:"id before which to begin, for the next page"`
	Limit  int   `query:"limit" default:"50" min:"1" max:"200" doc:"how many"`
}

type listOut struct {
	Success   bool           `json:"success"`
	Campaigns []campaignView `json:"campaigns" doc:"the newest first"`
}

func (s *Service) listCampaigns(ctx context.Context, in *listIn) (*listOut, error) {
	key := shownKey(ctx)
	if key == "" {
		return nil, errs.New(errs.Unauthorized, "the provider's API key is required in the Authorization header")
	}
	if in.Before == 0 {
		in.Before = math.MaxInt64
	}
	out := &listOut{Success: true, Campaigns: []campaignView{}}
	err := s.DB.Read(ctx, func(tx *db.Tx) error {
		list, err := selectCampaigns(tx, keyHash(key), in.Before, in.Limit)
		for _, c := range list {
			out.Campaigns = append(out.Campaigns, viewOf(c))
		}
		return err
	})
	return out, err
}
