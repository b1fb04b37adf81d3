package feedback

import (
	"context"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
)

const subscribeDoc = "An event is sent as a JSON object, as it is listed, with the header fields `svix-id`, `svix-timestamp` and `svix-signature`, which " +
	"the libraries of Svix check with the secret. An answer of 2xx ends the call; anything else has it made again after 5, 10 and 15 minutes, 1, 2 and 4 hours. " +
	"The secret is shown here and never again."

type subscriptionView struct {
	ID        string    `json:"id"`
	URL       string    `json:"url"`
	Events    []Type    `json:"events" doc:"types of the events that are forwarded"`
	CreatedAt time.Time `json:"createdAt"`
	Secret    string    `json:"secret,omitempty" doc:"what the calls are signed with; only in the answer that makes the subscription"`
}

func (s *subscription) view() subscriptionView {
	v := subscriptionView{ID: s.publicID(), URL: s.url, Events: s.events, CreatedAt: clock.FromMicro(s.created)}
	if len(v.Events) == 0 {
		v.Events = types()
	}
	return v
}

type subscribeIn struct {
	URL    string   `json:"url" required:"url is required" max:"2048" doc:"where events go"`
	Events []string `json:"events" max:"9" doc:"types of events; none or an empty list for all"`
}

type subscribeOut struct {
	Success      bool             `json:"success"`
	Subscription subscriptionView `json:"subscription"`
}

func (s *Service) createSubscription(ctx context.Context, in *subscribeIn) (*subscribeOut, error) {
	events, err := parseTypes(in.Events)
	if err != nil {
		return nil, err
	}
	sub, err := s.subscribe(ctx, account.From(ctx).AccountID, in.URL, events)
	if err != nil {
		return nil, err
	}
	out := &subscribeOut{true, sub.view()}
	out.Subscription.Secret = sub.secret.String()
	return out, nil
}

type subscriptionsOut struct {
	Subscriptions []subscriptionView `json:"subscriptions"`
}

func (s *Service) listSubscriptions(context.Context, *op.Empty) (*subscriptionsOut, error) {
	out := &subscriptionsOut{Subscriptions: []subscriptionView{}}
	for _, sub := range *s.subscriptions.Load() {
		out.Subscriptions = append(out.Subscriptions, sub.view())
	}
	return out, nil
}

type unsubscribeIn struct {
	ID string `path:"id" doc:"id of the subscription"`
}

type unsubscribeOut struct {
	Success bool `json:"success"`
}

func (s *Service) removeSubscription(ctx context.Context, in *unsubscribeIn) (*unsubscribeOut, error) {
	if err := s.unsubscribe(ctx, in.ID); err != nil {
		return nil, err
	}
	return &unsubscribeOut{true}, nil
}
