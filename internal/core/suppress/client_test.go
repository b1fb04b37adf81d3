package suppress_test

import (
	"context"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/mailgun/mailgun-go/v5"
	"github.com/mailgun/mailgun-go/v5/mtypes"
)

// Mailgun's own Go client, from adding to walking the pages and removing.
func TestGoClient(t *testing.T) {
	eachAPI(t, func(a *api) {
		server := httptest.NewServer(a.h)
		defer server.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		mg := mailgun.NewMailgun("admin")
		ok := func(err error) {
			a.t.Helper()
			if err != nil {
				a.t.Fatal(err)
			}
		}
		ok(mg.SetAPIBase(server.URL))
		const d, odd = "example.com", "o'neil+test@example.com"

		ok(mg.AddBounce(ctx, d, odd, "551", "moved"))
		ok(mg.AddBounces(ctx, d, []mtypes.Bounce{{Address: "b@example.com", Code: "550"}, {Address: "c@example.com"}}))
		b, err := mg.GetBounce(ctx, d, odd)
		if ok(err); b.Address != odd || b.Code != "551" || b.Error != "moved" || !time.Time(b.CreatedAt).Equal(start) {
			a.t.Errorf("%+v", b)
		}
		var got []string
		it := mg.ListBounces(d, &mailgun.ListOptions{Limit: 2})
		var page []mtypes.Bounce
		for it.Next(ctx, &page) {
			for _, b := range page {
				got = append(got, b.Address)
			}
		}
		if ok(it.Err()); !slices.Equal(got, []string{"b@example.com", "c@example.com", odd}) {
			a.t.Errorf("%q", got)
		}
		if !it.Previous(ctx, &page) || len(page) != 2 || page[1].Address != odd {
			a.t.Errorf("back from the end: %+v %v", page, it.Err())
		}
		if !it.First(ctx, &page) || len(page) != 2 || !it.Last(ctx, &page) || len(page) != 2 {
			a.t.Errorf("first and last: %+v %v", page, it.Err())
		}
		ok(mg.DeleteBounce(ctx, d, odd))
		if _, err := mg.GetBounce(ctx, d, odd); mailgun.GetStatusFromErr(err) != 404 {
			a.t.Error(err)
		}
		ok(mg.DeleteBounceList(ctx, d))

		ok(mg.CreateUnsubscribe(ctx, d, odd, "news"))
		ok(mg.CreateUnsubscribes(ctx, d, []mtypes.Unsubscribe{{Address: odd, Tags: []string{"ads"}}, {Address: "b@example.com"}}))
		u, err := mg.GetUnsubscribe(ctx, d, odd)
		if ok(err); !slices.Equal(u.Tags, []string{"news", "ads"}) {
			a.t.Errorf("%+v", u)
		}
		ok(mg.DeleteUnsubscribeWithTag(ctx, d, odd, "news"))
		ok(mg.DeleteUnsubscribe(ctx, d, odd))
		if err := mg.DeleteUnsubscribe(ctx, d, odd); mailgun.GetStatusFromErr(err) != 404 {
			a.t.Error(err)
		}

		ok(mg.CreateComplaint(ctx, d, odd))
		ok(mg.CreateComplaints(ctx, d, []string{"b@example.com", "c@example.com"}))
		if _, err := mg.GetComplaint(ctx, d, odd); err != nil {
			a.t.Error(err)
		}
		ok(mg.DeleteComplaint(ctx, d, odd))
	})
}
