package suppress

import (
	"context"
	"slices"
	"sync"
	"testing"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/core/event"
)

// claim does what leaving does: the event is in the transaction.
func claim(t testing.TB, s *Service, l Leaving) (tags []string) {
	t.Helper()
	err := s.db.Write(context.Background(), func(tx *db.Tx) (err error) {
		if tags, err = s.Claim(tx, l); err != nil || len(tags) == 0 {
			return err
		}
		e := &event.Event{DomainID: l.DomainID, Doc: event.Doc{Event: event.Unsubscribed, Recipient: l.Address, Message: &event.Message{Headers: event.Headers{MessageID: l.MessageID}}}}
		if len(l.Tags) > 0 {
			e.Leave = tags
		}
		return s.Event(tx, e)
	})
	if err != nil {
		t.Fatal(err)
	}
	return tags
}

func TestLeave(t *testing.T) {
	each(t, func(t *testing.T, s *Service, _ *clock.Fake) {
		ctx := context.Background()
		const a = "Ann@example.com"
		news := Leaving{DomainID: 1, Address: a, Tags: []string{"news", "Offers"}, MessageID: "m1"}
		all := Leaving{DomainID: 1, Address: "ann@EXAMPLE.com", MessageID: "m2"}
		codes := func(what string, tagged, untagged int) {
			t.Helper()
			if got := code(t, s, 1, a, "x", "NEWS"); got != tagged {
				t.Errorf("%s: %d for mail with the tag, want %d", what, got, tagged)
			}
			if got := code(t, s, 1, a, "x"); got != untagged {
				t.Errorf("%s: %d for other mail, want %d", what, got, untagged)
			}
		}
		stands := func(what string, l Leaving, left, undo bool) {
			t.Helper()
			if got, err := s.Standing(ctx, l); err != nil || got != (Standing{left, undo}) {
				t.Errorf("%s: %+v %v, want %v %v", what, got, err, left, undo)
			}
		}
		rejoin := func(what string, l Leaving, want int64) {
			t.Helper()
			if n, err := s.Rejoin(ctx, l); n != want || err != nil {
				t.Errorf("%s: %d %v, want %d", what, n, err, want)
			}
		}
		stands("before", news, false, false)
		put(t, s, Entry{Kind: Unsubscribes, DomainID: 1, Address: a, Tag: "offers"})
		stands("one of two tags", news, false, false)
		if got := claim(t, s, news); !slices.Equal(got, []string{"news"}) {
			t.Errorf("claimed %q", got)
		}
		codes("tags left", 606, 0)
		stands("tags left", news, true, true)
		stands("the domain then", all, false, false)
		if got := claim(t, s, news); len(got) != 0 {
			t.Errorf("claimed again: %q", got)
		}
		if got := claim(t, s, all); !slices.Equal(got, []string{"*"}) {
			t.Errorf("claimed %q", got)
		}
		codes("domain left", 606, 606)
		stands("tags of a domain left", news, true, false)
		rejoin("the domain by the other message", Leaving{DomainID: 1, Address: a, MessageID: "m1"}, 0)
		rejoin("no message", Leaving{DomainID: 1, Address: a}, 0)
		rejoin("another domain", Leaving{DomainID: 2, Address: a, MessageID: "m2"}, 0)
		rejoin("the domain", all, 1)
		codes("domain joined again", 606, 0)
		rejoin("the tags", news, 1)
		codes("tags joined again", 0, 0)
		stands("an entry by hand stays", Leaving{DomainID: 1, Address: a, Tags: []string{"OFFERS"}, MessageID: "m1"}, true, false)
	})
}

// Of many who leave at the same time one makes the event.
func TestLeaveAtOnce(t *testing.T) {
	each(t, func(t *testing.T, s *Service, _ *clock.Fake) {
		won := make([]int, 20)
		var wg sync.WaitGroup
		for i := range won {
			l := Leaving{DomainID: 1, Address: "a@example.com", Tags: []string{"x", "y"}, MessageID: "m"}
			if i%2 == 1 {
				slices.Reverse(l.Tags)
			}
			wg.Go(func() { won[i] = len(claim(t, s, l)) })
		}
		wg.Wait()
		sum := 0
		for _, n := range won {
			sum += n
		}
		if sum != 2 {
			t.Errorf("%d tags were claimed, want 2", sum)
		}
	})
}
