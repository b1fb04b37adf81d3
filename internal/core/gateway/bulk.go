package gateway

import (
	"context"
	"strconv"
	"sync"

	"postroad/internal/core/provider"
)

const bulkDoc = "Up to 50,000 recipients, each of whom gets an own copy. Who is there more than once gets one. recipient_ids name participants; that needs an API key of this server, in the Authorization header unless it is the api_key."

type bulkIn struct {
	Idempotency string `header:"Idempotency-Key" max:"200" doc:"a repeated request with the same key sends once, where the provider knows such keys"`
	letter
	Subject      string     `json:"subject" doc:"with {{variables}}"`
	HTML         string     `json:"html" doc:"with {{variables}}; html or text is required"`
	Text         string     `json:"text" doc:"with {{variables}}"`
	Recipients   recipients `json:"recipients" doc:"up to 50,000 objects with email, variables and metadata"`
	RecipientIDs numbers    `json:"recipient_ids" doc:"ids of participants"`
}

type bulkOut struct {
	Success     bool     `json:"success"`
	DriverName  string   `json:"driverName" doc:"who sent"`
	TotalEmails int      `json:"totalEmails" doc:"how many were sent"`
	Message     string   `json:"message"`
	Failed      []Failed `json:"failed,omitempty" doc:"who gets nothing, and why"`
}

func (s *Service) bulk(ctx context.Context, b *bulkIn) (*bulkOut, error) {
	if !b.complete() || b.Subject == "" || b.HTML == "" && b.Text == "" || len(b.Recipients)+len(b.RecipientIDs) == 0 {
		return nil, invalid("driver, api_key, from, subject, recipients or recipient_ids, and text or html are required")
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
	list, failed, err := s.audience(ctx, &b.letter, b.Recipients, b.RecipientIDs)
	if err != nil {
		return nil, err
	}
	m.Subject, m.HTML, m.Text, m.IdempotencyKey = b.Subject, b.HTML, b.Text, requestKey(b.Idempotency)
	out, sendErr := s.sendBulk(ctx, s.carriers(b.Driver, b.APIKey, m.From), m, b.Metadata, list)
	out.Failed = append(failed, out.Failed...)
	if out.TotalEmails == 0 {
		if sendErr == nil {
			return nil, &refusal{public: errNobody(), details: "no recipient is left", failed: out.Failed}
		}
		return nil, unsent(sendErr, "Failed to send bulk email", out.Failed)
	}
	return out, nil
}

// flights is how many batches of a request, or of all campaigns, are under way.
const flights = 4

// sendBulk sends to all of list, batch by batch. The error is that of a recipient who
// was not sent to.
func (s *Service) sendBulk(ctx context.Context, list []carrier, m *provider.Message, metadata object, to []recipient) (*bulkOut, error) {
	size := list[0].BatchSize()
	results := make([][]result, (len(to)+size-1)/size)
	var wg sync.WaitGroup
	slots := make(chan struct{}, flights)
	for i := range results {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			b := batchOf(m, metadata, to[i*size:min((i+1)*size, len(to))])
			b.IdempotencyKey += "-" + strconv.Itoa(i)
			results[i] = sendMany(ctx, list, b)
			s.remember(ctx, &b.Message, notes(b, results[i]))
		})
	}
	wg.Wait()
	out := &bulkOut{Success: true, Message: "Bulk email sent successfully"}
	var failure error
	for i, part := range results {
		for j, r := range part {
			switch {
			case r.Err != nil:
				failure = r.Err
				out.Failed = append(out.Failed, to[i*size+j].failed(reason(r.Err)))
			case out.DriverName == "":
				out.DriverName = r.driver
				fallthrough
			default:
				out.TotalEmails++
			}
		}
	}
	return out, failure
}

func (r *recipient) failed(why string) Failed {
	return Failed{Email: plain(r.Email), ParticipantID: r.ID, Error: why}
}

// batchOf is the request for some recipients.
func batchOf(m *provider.Message, metadata object, to []recipient) *provider.Batch {
	b := &provider.Batch{Message: *m, Recipients: make([]provider.Recipient, len(to))}
	for i := range to {
		r := &to[i]
		b.Recipients[i] = provider.Recipient{Email: r.Email, Variables: r.Variables}
		own := r.Metadata
		if r.ID != nil {
			own = own.over(object{"participant_id": []byte(strconv.FormatInt(*r.ID, 10))})
		}
		if len(own) > 0 {
			b.Recipients[i].Metadata = metadata.over(own).text()
		}
	}
	return b
}
