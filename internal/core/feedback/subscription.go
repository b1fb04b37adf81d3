package feedback

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/svix"
	"postroad/internal/core/webhook"
)

// maxSubscriptions bounds the URLs an event is forwarded to.
const maxSubscriptions = 20

// subscription is a URL events are forwarded to. It must not be modified.
type subscription struct {
	id      int64
	account string
	url     string
	events  []Type // none: all
	secret  svix.Secret
	created int64 // microseconds
}

func (s *subscription) publicID() string { return subscriptionPrefix + strconv.FormatInt(s.id, 36) }

const subscriptionPrefix = "sub_"

// sealContext ties a sealed secret to its row.
func (s *subscription) sealContext() string { return "feedback_subscription.secret:" + s.publicID() }

func joinTypes(list []Type) string {
	out := make([]string, len(list))
	for i, t := range list {
		out[i] = string(t)
	}
	return strings.Join(out, ",")
}

func splitTypes(s string) (out []Type) {
	for _, t := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' }) {
		out = append(out, Type(t))
	}
	return out
}

// forward stages the calls that follow from an event.
func (s *Service) forward(tx *db.Tx, e *incoming) error {
	for _, sub := range *s.subscriptions.Load() {
		if len(sub.events) > 0 && !slices.Contains(sub.events, e.Type) {
			continue
		}
		err := s.Webhooks.Stage(tx, &webhook.Outgoing{AccountID: sub.account, EventID: e.id, Type: string(e.Type), URL: sub.url, Payload: string(e.doc), Secret: sub.secret})
		if err != nil {
			return err
		}
	}
	return nil
}

// reload reads the subscriptions. One whose secret does not open is an error: its
// receiver would miss events without anybody knowing.
func (s *Service) reload(ctx context.Context) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	var list []*subscription
	err := s.DB.Read(ctx, func(tx *db.Tx) (err error) {
		list, err = selectSubscriptions(tx, s.open)
		return err
	})
	if err == nil {
		s.subscriptions.Store(&list)
	}
	return err
}

func (s *Service) open(sub *subscription, sealed string) error {
	b, err := base64.StdEncoding.DecodeString(sealed)
	if err == nil {
		b, err = s.box.Open(b, sub.sealContext())
	}
	if err != nil {
		return fmt.Errorf("secret of %s: %w", sub.publicID(), err)
	}
	sub.secret = b
	return nil
}

// subscribe has events of the given types, none for all, forwarded to a URL, signed
// with the secret that is returned. accountID is whose webhook calls they are.
func (s *Service) subscribe(ctx context.Context, accountID, url string, events []Type) (*subscription, error) {
	if err := s.Webhooks.CheckURL(ctx, url); err != nil {
		return nil, err
	}
	sub := &subscription{id: s.IDs.Next(), account: accountID, url: url, events: events, secret: svix.NewSecret()}
	sealed := base64.StdEncoding.EncodeToString(s.box.Seal(sub.secret, sub.sealContext()))
	err := s.DB.Write(ctx, func(tx *db.Tx) error {
		n, err := countSubscriptions(tx)
		if err != nil {
			return err
		}
		if n >= maxSubscriptions {
			return errs.New(errs.Invalid, "there are %d subscriptions already", n)
		}
		sub.created = tx.Now
		return insertSubscription(tx, sub, sealed)
	})
	if err != nil {
		return nil, err
	}
	return sub, s.reload(context.WithoutCancel(ctx))
}

func (s *Service) unsubscribe(ctx context.Context, publicID string) error {
	text, ok := strings.CutPrefix(publicID, subscriptionPrefix)
	id, err := strconv.ParseInt(text, 36, 64)
	if !ok || err != nil {
		return errNoSubscription()
	}
	err = s.DB.Write(ctx, func(tx *db.Tx) error {
		n, err := deleteSubscription(tx, id)
		if err == nil && n == 0 {
			err = errNoSubscription()
		}
		return err
	})
	if err != nil {
		return err
	}
	return s.reload(context.WithoutCancel(ctx))
}

func errNoSubscription() error { return errs.New(errs.NotFound, "Subscription not found") }

// parseTypes checks names of types.
func parseTypes(names []string) (out []Type, err error) {
	for _, n := range names {
		if !slices.Contains(types(), Type(n)) {
			return nil, errs.Wrap(errs.Invalid, errors.New(strconv.Quote(n)), "events is invalid").WithHint("the types are %s", joinTypes(types()))
		}
		if !slices.Contains(out, Type(n)) {
			out = append(out, Type(n))
		}
	}
	return out, nil
}
