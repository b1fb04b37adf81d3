package webhook

import (
	"context"
	"slices"
	"strings"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/op"
)

// accountOps are the webhooks of the account, called for the events of all of
// its domains.
func (s *Service) accountOps() []op.Op {
	return []op.Op{
		op.New("GET", "/v1/webhooks", op.Webhooks, op.Read, "List the account's webhooks", s.listAccount),
		op.New("POST", "/v1/webhooks", op.Webhooks, op.Write, "Create an account webhook", s.createAccount),
		op.New("DELETE", "/v1/webhooks", op.Webhooks, op.Write, "Delete several or all account webhooks", s.deleteAccounts),
		op.New("GET", "/v1/webhooks/{webhook_id}", op.Webhooks, op.Read, "Get an account webhook", s.getAccount),
		op.New("PUT", "/v1/webhooks/{webhook_id}", op.Webhooks, op.Write, "Update an account webhook", s.updateAccount),
		op.New("DELETE", "/v1/webhooks/{webhook_id}", op.Webhooks, op.Write, "Delete an account webhook", s.deleteAccount),
	}
}

type listAccountIn struct {
	IDs []string `form:"webhook_ids" split:"," doc:"Only these webhooks, separated by commas"`
}

type createAccountIn struct {
	Description string   `form:"description" doc:"What the webhook is for"`
	URL         string   `form:"url" doc:"URL to call"`
	Types       []string `form:"event_types" split:"," doc:"Event type; repeat for several"`
}

type updateAccountIn struct {
	ID          string   `path:"webhook_id" doc:"Id of the webhook"`
	Description *string  `form:"description" doc:"What the webhook is for; absent leaves it"`
	URL         *string  `form:"url" doc:"URL to call; absent leaves it"`
	Types       []string `form:"event_types" split:"," doc:"Event type; repeat for several; absent leaves them"`
}

type idIn struct {
	ID string `path:"webhook_id" doc:"Id of the webhook"`
}

type deleteAccountsIn struct {
	IDs *string `form:"webhook_ids" doc:"Ids of the webhooks to delete, separated by commas"`
	All bool    `form:"all" doc:"Delete every webhook of the account"`
}

type accountHook struct {
	ID          string   `json:"webhook_id"`
	Description string   `json:"description"`
	URL         string   `json:"url"`
	Types       []string `json:"event_types"`
	CreatedAt   string   `json:"created_at"`
}

type accountHooks struct {
	Webhooks []accountHook `json:"webhooks"`
}

type createdOut struct {
	ID string `json:"webhook_id"`
}

// noContent is the answer of changes of account webhooks. Mailgun: 204.
type noContent struct{}

// Respond makes the answer a 204.
func (*noContent) Respond() op.Response { return op.Response{Status: 204} }

// maxDescription bounds a description in bytes.
const maxDescription = 1000

// group turns rows into webhooks, in the order they were created.
func (s hookSet) group() []accountHook {
	out, at := []accountHook{}, map[string]int{}
	for i := range s {
		h := &s[i]
		n, ok := at[h.publicID]
		if !ok {
			n = len(out)
			at[h.publicID] = n
			out = append(out, accountHook{ID: h.publicID, Description: h.description, URL: h.url,
				CreatedAt: clock.FromMicro(h.createdAt).Format(time.RFC3339)})
		}
		out[n].Types = append(out[n].Types, h.name)
	}
	return out
}

func (s *Service) listAccount(ctx context.Context, in *listAccountIn) (*accountHooks, error) {
	have, err := s.hooks(ctx, accountScope(ctx))
	if err != nil {
		return nil, err
	}
	if len(in.IDs) > 0 {
		have = have.where(func(h *hook) bool { return slices.Contains(in.IDs, h.publicID) })
	}
	return &accountHooks{have.group()}, nil
}

func (s *Service) getAccount(ctx context.Context, in *idIn) (*accountHook, error) {
	have, err := s.hooks(ctx, accountScope(ctx))
	if err != nil {
		return nil, err
	}
	list := have.where(func(h *hook) bool { return h.publicID == in.ID }).group()
	if len(list) == 0 {
		return nil, errs.New(errs.NotFound, "webhook not found")
	}
	return &list[0], nil
}

func checkDescription(text string) error {
	if len(text) > maxDescription {
		return errs.New(errs.Invalid, "description is longer than %d bytes", maxDescription)
	}
	return nil
}

func (s *Service) createAccount(ctx context.Context, in *createAccountIn) (*createdOut, error) {
	sc, f := accountScope(ctx), flavourAccount()
	if err := s.checkBoth(ctx, f, in.URL, in.Types); err != nil {
		return nil, err
	}
	if err := checkDescription(in.Description); err != nil {
		return nil, err
	}
	h := newHook(sc, in.URL, in.Description)
	err := s.change(ctx, sc, func(tx *db.Tx, have hookSet) error {
		_, err := s.add(tx, f, have, h, in.Types...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &createdOut{h.publicID}, nil
}

func (s *Service) updateAccount(ctx context.Context, in *updateAccountIn) (*noContent, error) {
	f := flavourAccount()
	if len(in.Types) > 0 {
		if err := f.checkNames(in.Types); err != nil {
			return nil, err
		}
	}
	if in.URL != nil {
		if err := s.checkURLs(ctx, f, []string{*in.URL}); err != nil {
			return nil, err
		}
	}
	if in.Description != nil {
		if err := checkDescription(*in.Description); err != nil {
			return nil, err
		}
	}
	err := s.change(ctx, accountScope(ctx), func(tx *db.Tx, have hookSet) error {
		rest, old, err := remove(tx, have, func(h *hook) bool { return h.publicID == in.ID })
		if err != nil {
			return err
		}
		if len(old) == 0 {
			return errIDNotFound(in.ID)
		}
		h, names := in.apply(old)
		_, err = s.add(tx, f, rest, h, names...)
		return err
	})
	return &noContent{}, err
}

// apply returns what a webhook becomes: old is its rows.
func (in *updateAccountIn) apply(old hookSet) (h hook, names []string) {
	h = old[0]
	for i := range old {
		names = append(names, old[i].name)
	}
	if len(in.Types) > 0 {
		names = in.Types
	}
	if in.URL != nil {
		h.url = *in.URL
	}
	if in.Description != nil {
		h.description = *in.Description
	}
	return h, names
}

func errIDNotFound(id string) error {
	return errs.New(errs.NotFound, "webhook_id not found: %s", clip(id, 100))
}

func (s *Service) deleteAccount(ctx context.Context, in *idIn) (*noContent, error) {
	return s.deleteWhere(ctx, func(h *hook) bool { return h.publicID == in.ID }, errIDNotFound(in.ID))
}

func (s *Service) deleteAccounts(ctx context.Context, in *deleteAccountsIn) (*noContent, error) {
	if in.All {
		return s.deleteWhere(ctx, func(*hook) bool { return true }, errs.New(errs.NotFound, "no webhooks found for account"))
	}
	if in.IDs == nil {
		return nil, errs.New(errs.Invalid, "Missing mandatory parameter: webhook_ids")
	}
	list := strings.Split(*in.IDs, ",")
	for i := range list {
		if list[i] = strings.TrimSpace(list[i]); list[i] == "" {
			return nil, errs.New(errs.Invalid, "Invalid parameter: webhook_ids malformed webhook_ids parameter: empty values not allowed")
		}
	}
	return s.deleteWhere(ctx, func(h *hook) bool { return slices.Contains(list, h.publicID) }, errs.New(errs.NotFound, "no webhooks found for account"))
}

func (s *Service) deleteWhere(ctx context.Context, match func(*hook) bool, none error) (*noContent, error) {
	err := s.change(ctx, accountScope(ctx), func(tx *db.Tx, have hookSet) error {
		_, gone, err := remove(tx, have, match)
		if err == nil && len(gone) == 0 {
			err = none
		}
		return err
	})
	return &noContent{}, err
}
