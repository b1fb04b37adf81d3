package resend

import (
	"context"
	"errors"
	"slices"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
	"postroad/internal/base/op"
	"postroad/internal/base/svix"
	"postroad/internal/core/account"
)

// maxHooks bounds the webhooks of an account.
const maxHooks = 50

type createHookIn struct {
	Endpoint string   `json:"endpoint" doc:"URL that is called"`
	Events   []string `json:"events" doc:"email.sent, email.scheduled, email.delivered, email.delivery_delayed, email.complained, email.bounced, email.opened, email.clicked, email.failed, email.suppressed"`
}

type secretOut struct {
	Object        string `json:"object"`
	ID            string `json:"id"`
	SigningSecret string `json:"signing_secret"`
}

func (s *Service) createHook(ctx context.Context, in *createHookIn) (*secretOut, error) {
	caller := account.From(ctx)
	if err := authorize(caller, op.Webhooks, op.Write); err != nil {
		return nil, err
	}
	if in.Endpoint == "" {
		return nil, refuse(422, missingField, "Missing `endpoint` field.")
	}
	w := &hook{ID: s.IDs.Next(), PublicID: ids.UUID(), AccountID: caller.AccountID, Endpoint: in.Endpoint, Events: in.Events, Enabled: true}
	if err := s.checkEndpoint(ctx, w.Endpoint); err != nil {
		return nil, err
	}
	var err error
	if w.Events, err = checkEvents(in.Events); err != nil {
		return nil, err
	}
	key := svix.NewSecret()
	w.Secret = s.Hooks.seal(key)
	err = s.DB.Write(ctx, func(tx *db.Tx) error {
		n, err := countHooks(tx, caller.AccountID)
		if err != nil {
			return err
		}
		if n >= maxHooks {
			return invalid("An account may have at most %d webhooks.", maxHooks)
		}
		return insertHook(tx, w)
	})
	if err != nil {
		return nil, err
	}
	return &secretOut{"webhook", w.PublicID, key.String()}, s.Hooks.reload(ctx)
}

// checkEndpoint refuses what can never be called.
func (s *Service) checkEndpoint(ctx context.Context, url string) error {
	err := s.CheckURL(ctx, url)
	var e *errs.Error
	if errors.As(err, &e) && e.Kind == errs.Invalid {
		return invalid("Invalid `endpoint` field: %s", e.Public)
	}
	return err
}

// checkEvents refuses events that never happen, and returns the others once each.
func checkEvents(list []string) ([]string, error) {
	if len(list) == 0 {
		return nil, refuse(422, missingField, "Missing `events` field.")
	}
	for _, name := range list {
		if !slices.Contains(eventNames(), name) {
			return nil, invalid("The event `%s` is not offered.", clip(name, 60))
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(list))), nil
}

type hookIn struct {
	ID string `path:"id" doc:"id of the webhook"`
}

type hookView struct {
	Object        string   `json:"object,omitempty"`
	ID            string   `json:"id"`
	CreatedAt     string   `json:"created_at"`
	Status        string   `json:"status"`
	Endpoint      string   `json:"endpoint"`
	Events        []string `json:"events"`
	SigningSecret string   `json:"signing_secret,omitempty"`
}

func (w *hook) view() hookView {
	v := hookView{ID: w.PublicID, CreatedAt: stamp(w.CreatedAt), Status: "disabled", Endpoint: w.Endpoint, Events: w.Events}
	if w.Enabled {
		v.Status = "enabled"
	}
	return v
}

// ownHook returns a webhook of the caller's, in tx.
func ownHook(ctx context.Context, tx *db.Tx, id string) (*hook, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	return findHook(tx, account.From(ctx).AccountID, id)
}

// getHook shows the secret as well to those who may change it. Resend: to all who may
// read.
func (s *Service) getHook(ctx context.Context, in *hookIn) (*hookView, error) {
	caller := account.From(ctx)
	if err := authorize(caller, op.Webhooks, op.Read); err != nil {
		return nil, err
	}
	var w *hook
	err := s.DB.Read(ctx, func(tx *db.Tx) (err error) {
		w, err = ownHook(ctx, tx, in.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	v := w.view()
	v.Object = "webhook"
	if account.Allowed(caller.Role, op.Webhooks, op.Write) {
		key, err := s.Hooks.open(w.Secret)
		if err != nil {
			return nil, err
		}
		v.SigningSecret = key.String()
	}
	return &v, nil
}

func (s *Service) listHooks(ctx context.Context, in *listIn) (*listOut[hookView], error) {
	caller := account.From(ctx)
	if err := authorize(caller, op.Webhooks, op.Read); err != nil {
		return nil, err
	}
	out := &listOut[hookView]{Object: "list", Data: []hookView{}}
	err := s.DB.Read(ctx, func(tx *db.Tx) error {
		p, err := in.page(func(id string) (int64, error) {
			w, err := findHook(tx, caller.AccountID, id)
			if err != nil {
				return 0, err
			}
			return w.ID, nil
		})
		if err != nil {
			return err
		}
		hooks, more, err := list(tx, selHook, caller.AccountID, p, scanHook)
		out.HasMore = more
		for _, w := range hooks {
			out.Data = append(out.Data, w.view())
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

type updateHookIn struct {
	ID       string   `path:"id" doc:"id of the webhook"`
	Endpoint string   `json:"endpoint" doc:"another URL"`
	Events   []string `json:"events" doc:"other events"`
	Status   string   `json:"status" doc:"enabled or disabled"`
}

func (s *Service) updateHook(ctx context.Context, in *updateHookIn) (*changed, error) {
	if in.Status != "" && in.Status != "enabled" && in.Status != "disabled" {
		return nil, invalid("The `status` must be `enabled` or `disabled`.")
	}
	if err := authorize(account.From(ctx), op.Webhooks, op.Write); err != nil {
		return nil, err
	}
	if in.Endpoint != "" { // before the transaction: it may look the host up
		if err := s.checkEndpoint(ctx, in.Endpoint); err != nil {
			return nil, err
		}
	}
	events := in.Events
	if events != nil {
		var err error
		if events, err = checkEvents(events); err != nil {
			return nil, err
		}
	}
	return s.changeHook(ctx, in.ID, func(tx *db.Tx, w *hook) error {
		if in.Endpoint != "" {
			w.Endpoint = in.Endpoint
		}
		if events != nil {
			w.Events = events
		}
		if in.Status != "" {
			w.Enabled = in.Status == "enabled"
		}
		return updateHook(tx, w)
	})
}

// changeHook changes a webhook of the caller's; from then on calls are made by it.
func (s *Service) changeHook(ctx context.Context, id string, change func(*db.Tx, *hook) error) (*changed, error) {
	if err := authorize(account.From(ctx), op.Webhooks, op.Write); err != nil {
		return nil, err
	}
	err := s.DB.Write(ctx, func(tx *db.Tx) error {
		w, err := ownHook(ctx, tx, id)
		if err != nil {
			return err
		}
		return change(tx, w)
	})
	if err != nil {
		return nil, err
	}
	return &changed{"webhook", id}, s.Hooks.reload(ctx)
}

type deleted struct {
	Object  string `json:"object"`
	ID      string `json:"id"`
	Deleted bool   `json:"deleted"`
}

func (s *Service) deleteHook(ctx context.Context, in *hookIn) (*deleted, error) {
	_, err := s.changeHook(ctx, in.ID, func(tx *db.Tx, w *hook) error { return deleteHook(tx, w.ID) })
	if err != nil {
		return nil, err
	}
	return &deleted{"webhook", in.ID, true}, nil
}

// rotateHook replaces the secret at once: calls that are staged have the old one.
func (s *Service) rotateHook(ctx context.Context, in *hookIn) (*secretOut, error) {
	key := svix.NewSecret()
	_, err := s.changeHook(ctx, in.ID, func(tx *db.Tx, w *hook) error {
		w.Secret = s.Hooks.seal(key)
		return updateHook(tx, w)
	})
	if err != nil {
		return nil, err
	}
	return &secretOut{"webhook", in.ID, key.String()}, nil
}
