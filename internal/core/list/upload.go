package list

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"time"

	"encoding/json"

	"postroad/internal/base/db"
	"postroad/internal/core/event"
)

// upload is an upload of members that is worked on in the background.
type upload struct {
	id, listID       int64
	format           string // json or csv
	upsert           bool
	subscribed       bool // of members that do not say
	data             []byte
	done             int64 // records behind which the work stands
	upserted, failed int64
}

const (
	uploadBatch = 100 // records worked on in a transaction
	sweepBatch  = 1000
	idleUpload  = 30 * time.Second
	hurt        = time.Second // after an error
)

// RunUploads works on uploads, one after the other, and removes the members of
// deleted lists, until ctx ends.
func (s *Service) RunUploads(ctx context.Context) error {
	for ctx.Err() == nil {
		wait := idleUpload
		busy, err := s.work(ctx)
		if err != nil && ctx.Err() == nil {
			s.Logger.Error("uploads of list members", "error", err)
			wait = hurt
		} else if busy {
			continue
		}
		c, stop := s.DB.Clock().After(wait)
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-c:
		}
		stop()
	}
	return nil
}

// work does the next thing there is; busy is false when there was none.
func (s *Service) work(ctx context.Context) (busy bool, err error) {
	var u *upload
	var gone int64
	err = s.DB.Read(ctx, func(tx *db.Tx) error {
		if u, err = nextUpload(tx); err != nil || u != nil {
			return err
		}
		gone, err = retired(tx)
		return err
	})
	switch {
	case err != nil:
		return false, err
	case u != nil:
		return true, s.carryOn(ctx, u)
	case gone != 0:
		return true, s.DB.Write(ctx, func(tx *db.Tx) error { return removeSome(tx, gone, sweepBatch) })
	}
	return false, nil
}

// carryOn works on an upload from where it stands to its end, or until ctx ends.
func (s *Service) carryOn(ctx context.Context, u *upload) error {
	var batch []record
	at := int64(0)
	for r := range records(u.format, u.data, u.subscribed) {
		if at++; at <= u.done {
			continue
		}
		if batch = append(batch, r); len(batch) < uploadBatch {
			continue
		}
		if err := s.step(ctx, u, batch, false); err != nil {
			return ignoreGone(err)
		}
		if batch = batch[:0]; ctx.Err() != nil {
			return nil
		}
	}
	return ignoreGone(s.step(ctx, u, batch, true))
}

// ignoreGone: the uploads of a deleted list went with it.
func ignoreGone(err error) error {
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// step adds the members of a batch, with the events and the mark of the upload
// in the same transaction: what is done is done once.
func (s *Service) step(ctx context.Context, u *upload, batch []record, last bool) error {
	next := *u
	err := s.DB.Write(ctx, func(tx *db.Tx) error {
		next = *u
		l, err := selectByID(tx, u.listID)
		if err == nil && l == nil {
			err = errGone
		}
		if err != nil {
			return err
		}
		list, err := s.putRecords(tx, l, &next, batch)
		if err != nil {
			return err
		}
		if last {
			list = append(list, next.over(l))
		}
		for _, e := range list {
			if err := s.Events.Seal(e); err != nil {
				return err
			}
			if err := s.Events.Stage(tx, e); err != nil {
				return err
			}
		}
		if last {
			return deleteUpload(tx, u.id)
		}
		return moveUpload(tx, &next)
	})
	if err != nil {
		return fmt.Errorf("upload %d: %w", u.id, err)
	}
	*u = next
	if last {
		s.Logger.Info("list members uploaded", "task", u.id, "list", u.listID, "upserted", u.upserted, "failed", u.failed)
	}
	return nil
}

// putRecords adds the members of a batch and returns an event for each record.
func (s *Service) putRecords(tx *db.Tx, l *List, u *upload, batch []record) ([]*event.Event, error) {
	var good []candidate
	for _, r := range batch {
		if r.err == nil {
			good = append(good, r.candidate)
		}
	}
	members, wrong, err := s.put(tx, l.ID, good, u.upsert)
	if err != nil {
		return nil, err
	}
	out := make([]*event.Event, 0, len(batch))
	for i := range batch {
		r := &batch[i]
		err := r.err
		var m *Member
		if err == nil {
			m, err = members[0], wrong[0]
			members, wrong = members[1:], wrong[1:]
		}
		u.done++
		if err != nil {
			u.failed++
			out = append(out, u.event(l, event.ListMemberUploadError, event.Upload{Format: u.format, MemberDescription: r.text,
				Error: &event.UploadError{Message: public(err)}}))
			continue
		}
		u.upserted++
		out = append(out, u.event(l, event.ListMemberUploaded, event.Upload{Member: &event.ListMember{
			Subscribed: m.Subscribed, Address: m.Address, Name: m.Name, Vars: varNames(m.Vars)}}))
	}
	return out, nil
}

func (u *upload) event(l *List, t event.Type, d event.Upload) *event.Event {
	d.TaskID = strconv.FormatInt(u.id, 10)
	return &event.Event{AccountID: l.AccountID, DomainID: l.DomainID, Doc: event.Doc{Event: t, MailingList: l.inEvents(""), Upload: &d}}
}

// over is the event of the end. Mailgun: its members.
func (u *upload) over(l *List) *event.Event {
	return u.event(l, event.ListUploaded, event.Upload{Format: u.format, Subscribed: &u.subscribed, IsUpsert: &u.upsert,
		UpsertedCount: &u.upserted, FailedCount: &u.failed})
}

// varNames are the names of a member's variables. Mailgun: events have a list.
func varNames(vars json.RawMessage) []string {
	var m map[string]json.RawMessage
	if json.Unmarshal(vars, &m) != nil {
		return []string{}
	}
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return slices.Clip(out)
}
