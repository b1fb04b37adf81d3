package workspace

import (
	"context"
	"encoding/json"
	"strings"

	"postroad/internal/core/webhook"
)

// webhookIn is a webhook call, in JSON, or a route's post, a form. In a route's
// post the fields of the mail's header stand beside those of the route, under names
// that a stranger chose. The route's own recipient and sender come first and the
// rest of its own last, so that the list of what came under a name tells them
// apart.
type webhookIn struct {
	Workspace string   `query:"workspace" doc:"Workspace that gets the mail of a route's post"`
	Signature string   `form:"signature" doc:"Signature; of a webhook call an object with timestamp, token and signature"`
	Event     string   `form:"event-data" doc:"Event of a webhook call"`
	Timestamp []string `form:"timestamp" doc:"Of the signature of a route's post"`
	Token     []string `form:"token" doc:"Of the signature of a route's post"`
	Recipient []string `form:"recipient" doc:"Recipient of the mail"`
	Sender    []string `form:"sender" doc:"Sender on its envelope"`
	From      []string `form:"from" doc:"Its From field"`
	Subject   []string `form:"subject" doc:"Its subject"`
	Headers   []string `form:"message-headers" doc:"Its header, a JSON list of names and values"`
	Plain     string   `form:"body-plain" max:"10485760" doc:"Its text"`
	HTML      string   `form:"body-html" max:"10485760" doc:"Its HTML"`
}

type webhookOut struct {
	Success bool `json:"success" doc:"true"`
}

func (s *Service) webhookOp(ctx context.Context, in *webhookIn) (*webhookOut, error) {
	sig, isEvent, err := in.proof()
	if err != nil {
		return nil, err
	}
	if err := s.verify(ctx, sig); err != nil {
		return nil, err
	}
	if isEvent {
		return &webhookOut{true}, s.remoteEvent(ctx, sig, []byte(in.Event))
	}
	a := &arrival{recipient: first(in.Recipient), from: last(in.From), subject: last(in.Subject), plain: in.Plain, html: in.HTML, headers: last(in.Headers)}
	if a.from == "" {
		a.from = first(in.Sender)
	}
	bad := faults{}
	if a.recipient == "" {
		bad.add("recipient", "is required")
	}
	if in.Workspace == "" || len(in.Workspace) > maxID {
		bad.add("workspace", "is required in the URL of a route, with at most 255 bytes")
	}
	if err := bad.err(); err != nil {
		return nil, err
	}
	_, err = s.receive(ctx, sig, in.Workspace, a)
	return &webhookOut{true}, err
}

// proof returns the signature, and whether it is that of a webhook call: there it
// is an object.
func (in *webhookIn) proof() (sig webhook.Signature, isEvent bool, err error) {
	text := in.Signature
	if strings.HasPrefix(text, "{") {
		if json.Unmarshal([]byte(text), &sig) != nil {
			return sig, true, faults{"signature": "must have timestamp, token and signature, which are texts"}.err()
		}
		return sig, true, nil
	}
	return webhook.Signature{Timestamp: last(in.Timestamp), Token: last(in.Token), Signature: text}, false, nil
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

func last(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[len(list)-1]
}
