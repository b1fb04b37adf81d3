package event

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"sync"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/base/ids"
)

// Day numbers a partition: year, month and day in decimal, 20260102.
type Day int64

// DayOf returns the partition of an event id.
func DayOf(id int64) Day {
	t := ids.Time(id)
	return Day(t.Year()*10000 + int(t.Month())*100 + t.Day())
}

// Start returns the first id that belongs to the day.
func (d Day) Start() int64 {
	return ids.Floor(time.Date(int(d)/10000, time.Month(int(d)/100%100), int(d)%100, 0, 0, 0, 0, time.UTC))
}

func (d Day) table() string { return "event_" + strconv.FormatInt(int64(d), 10) }

// days remembers which partitions exist.
type days struct {
	mu  sync.RWMutex
	ins map[Day]*db.Insert
}

var columns = []string{"id", "domain_id", "type", "recipient", "msgid", "message", "doc", "detail"}

func (d *days) get(day Day) *db.Insert {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.ins[day]
}

func (d *days) put(day Day) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ins == nil {
		d.ins = map[Day]*db.Insert{}
	}
	if d.ins[day] == nil {
		d.ins[day] = &db.Insert{Table: day.table(), Columns: columns}
	}
}

// partition returns the statement that inserts into the day of id and makes
// its table if this is the first event of the day.
func (s *Service) partition(tx *db.Tx, id int64) (*db.Insert, error) {
	day := DayOf(id)
	if ins := s.days.get(day); ins != nil {
		return ins, nil
	}
	// Two PostgreSQL sessions that create the same table at once collide in the
	// catalogue in spite of IF NOT EXISTS.
	if tx.Dialect() == db.Postgres {
		if _, err := tx.Exec("SELECT pg_advisory_xact_lock(?)", partitionLock); err != nil {
			return nil, fmt.Errorf("event partition: %w", err)
		}
	}
	for _, ddl := range []string{
		"CREATE TABLE IF NOT EXISTS %[1]s (id $KEY, domain_id BIGINT NOT NULL, type BIGINT NOT NULL, recipient BIGINT NOT NULL, msgid BIGINT NOT NULL, message BIGINT NOT NULL, doc $BYTES NOT NULL, detail $BYTES)",
		"CREATE INDEX IF NOT EXISTS %[1]s_domain ON %[1]s (domain_id, id, type, recipient, msgid)",
		"CREATE INDEX IF NOT EXISTS %[1]s_message ON %[1]s (message)",
	} {
		if _, err := tx.Exec(tx.Dialect().Types(fmt.Sprintf(ddl, day.table()))); err != nil {
			return nil, fmt.Errorf("event partition: %w", err)
		}
	}
	if _, err := tx.Exec("INSERT INTO event_day (day, created_at) VALUES (?, ?) ON CONFLICT (day) DO NOTHING", int64(day), tx.Now); err != nil {
		return nil, err
	}
	tx.AfterCommit(func() { s.days.put(day) })
	return &db.Insert{Table: day.table(), Columns: columns}, nil
}

// partitionLock is the advisory lock of whoever creates a partition.
const partitionLock = 0x706f737465766e74

// partitions lists the days that exist, oldest first.
func partitions(tx *db.Tx) ([]Day, error) {
	var out []Day
	err := tx.Each(func(r *sql.Rows) error {
		var d int64
		err := r.Scan(&d)
		out = append(out, Day(d))
		return err
	}, "SELECT day FROM event_day")
	sort.Slice(out, func(i, j int) bool { return out[i] < out[j] })
	return out, err
}

// Last returns the highest event id in use, 0 when there is none.
func Last(tx *db.Tx) (int64, error) {
	list, err := partitions(tx)
	if err != nil || len(list) == 0 {
		return 0, err
	}
	var id sql.NullInt64
	err = tx.QueryRow("SELECT MAX(id) FROM " + list[len(list)-1].table()).Scan(&id)
	return id.Int64, err
}

// DropBefore drops the partitions that end before t and returns how many.
func (s *Service) DropBefore(ctx context.Context, t time.Time) (int, error) {
	n := 0
	err := s.db.Write(ctx, func(tx *db.Tx) error {
		list, err := partitions(tx)
		if err != nil {
			return err
		}
		keep := DayOf(ids.Floor(t))
		for _, d := range list {
			if d >= keep {
				break
			}
			if _, err := tx.Exec("DROP TABLE IF EXISTS " + d.table()); err != nil {
				return err
			}
			if _, err := tx.Exec("DELETE FROM event_day WHERE day = ?", int64(d)); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	return n, err
}

// OfMessage returns up to limit events of a stored message, oldest first.
func (s *Service) OfMessage(ctx context.Context, messageID int64, limit int) ([]*Event, error) {
	var out []*Event
	err := s.db.Read(ctx, func(tx *db.Tx) error {
		list, err := partitions(tx)
		if err != nil {
			return err
		}
		first := DayOf(messageID)
		for _, d := range list {
			if d < first {
				continue
			}
			if err := s.scan(tx, &out, "SELECT id, domain_id, message, doc, detail FROM "+d.table()+" WHERE message = ? ORDER BY id LIMIT ?", messageID, limit-len(out)); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// Recipient returns a recipient's address as the events of a message have it, ""
// if they have no such recipient.
func (s *Service) Recipient(ctx context.Context, messageID int64, address string) (string, error) {
	e, err := s.first(ctx, messageID, "AND recipient = ?", Hash(address))
	if err != nil || e == nil {
		return "", err
	}
	return e.Doc.Recipient, nil
}

// About returns an event of a message and recipient, which outlives the message;
// nil if there is none. Where all recipients got the same it may be another's,
// with this recipient in it. The event has no account.
func (s *Service) About(ctx context.Context, messageID int64, address string) (*Event, error) {
	e, err := s.first(ctx, messageID, "")
	if err != nil || e == nil || e.Doc.Recipient == address {
		return e, err
	}
	if d := &e.Doc; d.Batch == nil && d.MailingList == nil {
		d.Recipient, d.RecipientDom, d.Provider, d.Routes = address, "", "", nil
		return e, nil
	}
	return s.first(ctx, messageID, "AND recipient = ?", Hash(address)) // all rows of the message are looked at
}

// first returns the first event found of a message, nil if there is none.
func (s *Service) first(ctx context.Context, messageID int64, where string, args ...any) (*Event, error) {
	var found []*Event
	err := s.db.Read(ctx, func(tx *db.Tx) error {
		list, err := partitions(tx)
		for _, d := range list {
			if err == nil && d >= DayOf(messageID) && len(found) == 0 {
				err = s.scan(tx, &found, "SELECT id, domain_id, message, doc, NULL FROM "+d.table()+" WHERE message = ? "+where+" LIMIT 1", append([]any{messageID}, args...)...)
			}
		}
		return err
	})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return found[0], nil
}

// OfMessages returns the events of several stored messages by message, oldest
// first, without the conversations.
func (s *Service) OfMessages(ctx context.Context, messageIDs []int64) (map[int64][]*Event, error) {
	out := make(map[int64][]*Event, len(messageIDs))
	if len(messageIDs) == 0 {
		return out, nil
	}
	args := make([]any, len(messageIDs))
	for i, id := range messageIDs {
		args[i] = id
	}
	first := DayOf(slices.Min(messageIDs))
	err := s.db.Read(ctx, func(tx *db.Tx) error {
		list, err := partitions(tx)
		if err != nil {
			return err
		}
		for _, d := range list {
			if d < first {
				continue
			}
			var found []*Event
			if err := s.scan(tx, &found, "SELECT id, domain_id, message, doc, NULL FROM "+d.table()+" WHERE message IN "+db.Marks(len(args))+" ORDER BY id", args...); err != nil {
				return err
			}
			for _, e := range found {
				out[e.MessageID] = append(out[e.MessageID], e)
			}
		}
		return nil
	})
	return out, err
}

// scan runs a query for rows of (id, domain_id, message, doc, detail).
func (s *Service) scan(tx *db.Tx, out *[]*Event, query string, args ...any) error {
	return tx.Each(func(r *sql.Rows) error {
		e := &Event{}
		var doc, detail []byte
		if err := r.Scan(&e.ID, &e.DomainID, &e.MessageID, &doc, &detail); err != nil {
			return err
		}
		if err := s.codec.open(e, doc, detail); err != nil {
			return err
		}
		*out = append(*out, e)
		return nil
	}, query, args...)
}
