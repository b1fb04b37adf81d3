package compat

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/mailgun/mailgun-go/v5"
	"github.com/mailgun/mailgun-go/v5/mtypes"
)

func TestRoutes(t *testing.T) {
	s := start(t, "serve")
	ctx := t.Context()
	made, err := s.mg.CreateRoute(ctx, mtypes.Route{Priority: 1, Description: "Sample Route", Expression: `match_recipient(".*@samples.mailgun.org")`,
		Actions: []string{`forward("http://127.0.0.1:9/messages/")`, "stop()"}})
	if err != nil || made.Id == "" || len(made.Actions) != 2 {
		t.Fatalf("made = %+v, %v", made, err)
	}
	got, err := s.mg.GetRoute(ctx, made.Id)
	if err != nil || !reflect.DeepEqual(got, made) {
		t.Errorf("got = %+v, %v, want %+v", got, err, made)
	}
	changed, err := s.mg.UpdateRoute(ctx, made.Id, mtypes.Route{Priority: 2})
	if err != nil || changed.Priority != 2 || changed.Id != made.Id || !slices.Equal(changed.Actions, made.Actions) {
		t.Errorf("changed = %+v, %v", changed, err)
	}
	if _, err := s.mg.UpdateRoute(ctx, made.Id, mtypes.Route{Expression: "nonsense"}); mailgun.GetStatusFromErr(err) != 400 {
		t.Errorf("nonsense: %v, want status 400", err)
	}
	if err := s.mg.DeleteRoute(ctx, made.Id); err != nil {
		t.Error(err)
	}
	if _, err := s.mg.GetRoute(ctx, made.Id); mailgun.GetStatusFromErr(err) != 404 {
		t.Errorf("a deleted route: %v, want status 404", err)
	}
}

func TestRoutePages(t *testing.T) {
	s := start(t, "serve")
	ctx := t.Context()
	for i := range 5 {
		if _, err := s.mg.CreateRoute(ctx, mtypes.Route{Priority: i, Expression: fmt.Sprintf("match_recipient('user%d@')", i), Actions: []string{"store()"}}); err != nil {
			t.Fatal(err)
		}
	}
	it := s.mg.ListRoutes(&mailgun.ListOptions{Limit: 2})
	var page []mtypes.Route
	var seen []int
	for it.Next(ctx, &page) {
		for _, r := range page {
			seen = append(seen, r.Priority)
		}
	}
	if it.Err() != nil || !slices.Equal(seen, []int{0, 1, 2, 3, 4}) || it.TotalCount != 5 {
		t.Errorf("seen %v of %d, %v", seen, it.TotalCount, it.Err())
	}
	if !it.First(ctx, &page) || page[0].Priority != 0 || !it.Last(ctx, &page) || page[len(page)-1].Priority != 4 || !it.Previous(ctx, &page) || len(page) == 0 {
		t.Errorf("page = %+v, %v", page, it.Err())
	}
}
