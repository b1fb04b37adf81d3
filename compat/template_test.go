package compat

import (
	"slices"
	"testing"

	"github.com/mailgun/mailgun-go/v5"
	"github.com/mailgun/mailgun-go/v5/events"
	"github.com/mailgun/mailgun-go/v5/mtypes"
)

// TestTemplates is a template's life with the official client: made, given
// versions, paged through, sent with, changed and removed.
func TestTemplates(t *testing.T) {
	s := start(t, "serve")
	ctx := t.Context()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	made := mtypes.Template{Name: "Welcome", Description: "d", Version: mtypes.TemplateVersion{Tag: "V1", Comment: "c", Engine: mtypes.TemplateEngineHandlebars, Template: "<p>Hi {{name}}</p>"}}
	ok(s.mg.CreateTemplate(ctx, domain, &made))
	if v := made.Version; made.Name != "welcome" || made.Description != "d" || v.Tag != "v1" || !v.Active || v.Comment != "c" || v.Template != "<p>Hi {{name}}</p>" || v.CreatedAt.IsZero() {
		t.Errorf("made: %+v", made)
	}
	ok(s.mg.CreateTemplate(ctx, domain, &mtypes.Template{Name: "another one"}))
	if err := s.mg.CreateTemplate(ctx, domain, &mtypes.Template{Name: "bad", Version: mtypes.TemplateVersion{Template: "{{/if}}"}}); mailgun.GetStatusFromErr(err) != 400 {
		t.Errorf("a template that does not parse: %v", err)
	}
	second := mtypes.TemplateVersion{Tag: "v2", Template: "<b>{{name}}</b>", Active: true}
	ok(s.mg.AddTemplateVersion(ctx, domain, "welcome", &second))
	got, err := s.mg.GetTemplate(ctx, domain, "welcome")
	if ok(err); got.Version.Tag != "v2" || !got.Version.Active || got.CreatedAt.IsZero() {
		t.Errorf("template = %+v", got)
	}
	first := mtypes.TemplateVersion{Tag: "v1", Comment: "old", Active: true}
	ok(s.mg.UpdateTemplateVersion(ctx, domain, "welcome", &first))
	v, err := s.mg.GetTemplateVersion(ctx, domain, "welcome", "v1")
	if ok(err); v.Comment != "old" || !v.Active || v.Template != "<p>Hi {{name}}</p>" {
		t.Errorf("version = %+v", v)
	}

	var names []string
	list := s.mg.ListTemplates(domain, &mailgun.ListTemplateOptions{Limit: 1})
	var page []mtypes.Template
	for list.Next(ctx, &page) {
		names = append(names, page[0].Name)
	}
	if ok(list.Err()); !slices.Equal(names, []string{"another one", "welcome"}) {
		t.Errorf("templates %q", names)
	}
	if !list.First(ctx, &page) || page[0].Name != "another one" || !list.Last(ctx, &page) || page[0].Name != "welcome" || !list.Previous(ctx, &page) || page[0].Name != "another one" {
		t.Errorf("first, last and previous: %+v %v", page, list.Err())
	}
	var tags []string
	versions := s.mg.ListTemplateVersions(domain, "welcome", &mailgun.ListOptions{Limit: 1})
	var some []mtypes.TemplateVersion
	for versions.Next(ctx, &some) {
		tags = append(tags, some[0].Tag)
	}
	if ok(versions.Err()); !slices.Equal(tags, []string{"v1", "v2"}) {
		t.Errorf("versions %q", tags)
	}

	m := mailgun.NewMessage(domain, "me@example.com", "Hello", "", "ann@example.net")
	m.SetTemplate("welcome")
	ok(m.AddTemplateVariable("name", "Ann & Bob"))
	m.SetTemplateRenderText(true)
	id := send(t, s, m)
	e := event[*events.Delivered](t, s, "delivered", id, "ann@example.net")
	stored, err := s.mg.GetStoredMessage(ctx, e.Storage.URL)
	if ok(err); stored.BodyHtml != "<p>Hi Ann &amp; Bob</p>\r\n" && stored.BodyHtml != "<p>Hi Ann &amp; Bob</p>" || stored.BodyPlain[:12] != "Hi Ann & Bob" {
		t.Errorf("stored %q, %q", stored.BodyHtml, stored.BodyPlain)
	}

	ok(s.mg.UpdateTemplate(ctx, domain, &mtypes.Template{Name: "welcome", Description: "e"}))
	ok(s.mg.DeleteTemplateVersion(ctx, domain, "welcome", "v2"))
	ok(s.mg.DeleteTemplate(ctx, domain, "welcome"))
	if _, err := s.mg.GetTemplate(ctx, domain, "welcome"); mailgun.GetStatusFromErr(err) != 404 {
		t.Errorf("deleted: %v", err)
	}
}
