package gateway

import (
	"context"

	"postroad/internal/base/ids"
	"postroad/internal/base/op"
	"postroad/internal/core/provider"
)

// Ops returns the operations of the gateway.
func (s *Service) Ops() []op.Op {
	list := []op.Op{
		op.New("POST", "/api/email/send", op.Messages, op.Public, "Send one email", s.send).WithDoc(sendDoc),
		op.New("POST", "/api/email/bulk", op.Messages, op.Public, "Send personalised emails", s.bulk).WithDoc(bulkDoc),
		op.New("POST", "/api/email/templates", op.Messages, op.Public, "Check a template by its URL", s.checkTemplate),
		op.New("POST", "/api/email/campaigns", op.Messages, op.Public, "Create a campaign", s.createCampaign).WithDoc(campaignDoc),
		op.New("GET", "/api/email/campaigns", op.Messages, op.Public, "List the campaigns of a provider's key", s.listCampaigns).WithDoc(listDoc),
		op.New("GET", "/api/email/campaigns/{uuid}", op.Messages, op.Public, "Get a campaign and how far it is", s.getCampaign),
		op.New("POST", "/api/email/campaigns/{uuid}/send", op.Messages, op.Public, "Start a campaign", s.startCampaign).WithDoc(startDoc),
		op.New("POST", "/api/email/campaigns/{uuid}/pause", op.Messages, op.Public, "Pause a campaign", s.pauseCampaign),
		op.New("POST", "/api/email/campaigns/{uuid}/resume", op.Messages, op.Public, "Go on with a campaign", s.resumeCampaign),
		op.New("POST", "/api/email/participants", op.Lists, op.Write, "Add or change participants", s.putParticipants),
		op.New("POST", "/api/email/participants/csv", op.Lists, op.Write, "Add or change participants from a CSV file", s.uploadParticipants).WithDoc(csvDoc),
		op.New("GET", "/api/email/participants", op.Lists, op.Read, "List participants", s.listParticipants),
		op.New("DELETE", "/api/email/participants", op.Lists, op.Write, "Delete participants", s.deleteParticipants),
	}
	for i := range list {
		list[i] = list[i].WithErrors(words)
	}
	return list
}

const sendDoc = "The key of the provider is in the body. {{name}} in subject, html and text is replaced by a variable, with what HTML would take for markup escaped in html; {{{name}}} is not escaped. metadata comes back with events."

type sendIn struct {
	Idempotency string `header:"Idempotency-Key" max:"200" doc:"a repeated request with the same key sends once, where the provider knows such keys"`
	letter
	To        addresses          `json:"to" doc:"an address or an array of them"`
	CC        addresses          `json:"cc" doc:"an address or an array of them"`
	BCC       addresses          `json:"bcc" doc:"an address or an array of them"`
	Subject   string             `json:"subject" doc:"with {{variables}}"`
	HTML      string             `json:"html" doc:"with {{variables}}; html or text is required"`
	Text      string             `json:"text" doc:"with {{variables}}"`
	Variables provider.Variables `json:"variables" doc:"values by the names of {{variables}}"`
}

type sendOut struct {
	Success    bool   `json:"success"`
	DriverName string `json:"driverName" doc:"who sent"`
	ExternalID string `json:"externalId" doc:"the provider's id, as events have it"`
	Message    string `json:"message"`
	Recipients int    `json:"recipients"`
}

func (s *Service) send(ctx context.Context, b *sendIn) (*sendOut, error) {
	if !b.complete() || len(b.To) == 0 || b.Subject == "" || b.HTML == "" && b.Text == "" {
		return nil, invalid("driver, api_key, from, to, subject, and text or html are required")
	}
	var c checked
	m, err := b.check(&c)
	if err != nil {
		return nil, err
	}
	m.To, m.CC, m.BCC = c.all(b.To), c.all(b.CC), c.all(b.BCC)
	if err := c.err(); err != nil {
		return nil, err
	}
	m.Subject, m.HTML, m.Text = provider.Fill(b.Subject, b.Variables, provider.Subject), provider.Fill(b.HTML, b.Variables, provider.HTML), provider.Fill(b.Text, b.Variables, provider.Text)
	m.IdempotencyKey = requestKey(b.Idempotency)
	id, name, err := sendOne(ctx, s.carriers(b.Driver, b.APIKey, m.From), m)
	if err != nil {
		return nil, unsent(err, "Failed to send email", nil)
	}
	var list []note
	for _, to := range [][]string{m.To, m.CC, m.BCC} {
		for _, r := range to {
			list = append(list, note{name, bare(id), mailbox(r), m.Metadata, m.Subject})
		}
	}
	s.remember(ctx, m, list)
	return &sendOut{Success: true, DriverName: name, ExternalID: bare(id), Message: "Email sent successfully", Recipients: len(m.To)}, nil
}

// requestKey is the key towards the provider for a client's request.
func requestKey(given string) string {
	if given != "" {
		return given
	}
	return "gateway-" + ids.Hex(16)
}
