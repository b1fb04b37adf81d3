package webhook

import (
	"context"
	"strings"

	"postroad/internal/base/errs"
	"postroad/internal/base/op"
)

// typesOps are the operations that associate one URL with many event types.
func (s *Service) typesOps() []op.Op {
	return []op.Op{
		op.New("POST", "/v4/domains/{domain}/webhooks", op.Webhooks, op.Write, "Register a URL for event types", s.createTypes),
		op.New("PUT", "/v4/domains/{domain}/webhooks", op.Webhooks, op.Write, "Replace the event types of a URL", s.updateTypes),
		op.New("DELETE", "/v4/domains/{domain}/webhooks", op.Webhooks, op.Write, "Delete URLs from every event type", s.deleteTypes),
	}
}

type typesIn struct {
	Domain string   `path:"domain" doc:"Name of the domain"`
	URL    string   `form:"url" doc:"URL to call"`
	Types  []string `form:"event_types" split:"," doc:"Event type: accepted, delivered, opened, clicked, unsubscribed, complained, temporary_fail or permanent_fail; repeat for several"`
}

type deleteTypesIn struct {
	Domain string   `path:"domain" doc:"Name of the domain"`
	URL    []string `form:"url" doc:"URLs to delete, separated by commas"`
}

func (s *Service) createTypes(ctx context.Context, in *typesIn) (*hooksOut, error) {
	return s.setTypes(ctx, in, s.addTypes)
}

func (s *Service) updateTypes(ctx context.Context, in *typesIn) (*hooksOut, error) {
	return s.setTypes(ctx, in, s.replaceTypes)
}

func (s *Service) setTypes(ctx context.Context, in *typesIn, set func(context.Context, scope, string, []string) (hookSet, error)) (*hooksOut, error) {
	sc, err := s.domainScope(ctx, in.Domain)
	if err != nil {
		return nil, err
	}
	have, err := set(ctx, sc, in.URL, in.Types)
	if err != nil {
		return nil, err
	}
	return mapOf(have), nil
}

func (s *Service) deleteTypes(ctx context.Context, in *deleteTypesIn) (*hooksOut, error) {
	sc, err := s.domainScope(ctx, in.Domain)
	if err != nil {
		return nil, err
	}
	urls := splitURLs(in.URL)
	if len(urls) == 0 {
		return nil, errs.New(errs.Invalid, "Missing mandatory parameter: url")
	}
	have, err := s.removeURLs(ctx, sc, urls)
	if err != nil {
		return nil, err
	}
	return mapOf(have), nil
}

// splitURLs takes a comma-separated list apart. A comma may also stand in a
// URL, so each value is looked for as a whole too.
func splitURLs(values []string) []string {
	var out []string
	for _, v := range values {
		if v == "" {
			continue
		}
		out = append(out, v)
		for u := range strings.SplitSeq(v, ",") {
			out = append(out, strings.TrimSpace(u))
		}
	}
	return out
}
