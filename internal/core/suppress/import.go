package suppress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
)

// State is where an import stands.
type State string

// The states of an import.
const (
	Receiving State = "receiving" // the file is coming in
	Waiting   State = "waiting"   // for the imports before it
	Importing State = "importing"
	Finished  State = "finished"
)

// Import is a file whose rows are put on a list in the background.
type Import struct {
	ID        int64
	AccountID string
	DomainID  int64
	Domain    string // its name
	Kind      Kind
	File      string // name of the file as the client gave it, perhaps ""
	Key       string // id of the API key it came with
	State     State
	Size      int64 // bytes of the file so far
	Done      int64 // bytes the work stands behind
	Imported  int64 // rows
	Failed    int64 // rows

	Created, Started, Finished int64 // microseconds; 0 for not yet

	line int64 // of the file, at Done
}

// RowError is a row that was not imported.
type RowError struct {
	Line    int64  // of the file, counted from 1
	Reason  string // what is wrong
	Content string // the beginning of the row
}

const (
	maxFile     = 25 << 20  // bytes. Mailgun
	partSize    = 256 << 10 // bytes of a file in one row
	maxReceived = 4         // files received at a time
	maxOpen     = 100       // imports of an account that are not finished
	importRows  = 500       // of a transaction: it must not keep the writer from the queue for long
	maxErrors   = 1000      // rows reported of an import; further ones are counted
	maxCell     = 200       // bytes of a row that are reported

	idleImports  = time.Minute
	retryImports = time.Second         // after an error
	lostUpload   = time.Hour           // since it began
	keepErrors   = 90 * 24 * time.Hour // after the end
)

// errGone says that an import is no longer there: its domain was deleted.
var errGone = errors.New("import is gone")

// RunImports works on imports, one after the other, until ctx ends. What a
// program that was killed left undone is taken up where it stands.
func (s *Service) RunImports(ctx context.Context) error {
	for ctx.Err() == nil {
		wait := idleImports
		busy, err := s.workImports(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.Error("imports of suppressions", "error", err)
			wait = retryImports
		} else if busy {
			continue
		}
		c, stop := s.db.Clock().After(wait)
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-c:
		}
		stop()
	}
	return nil
}

// poke has RunImports look for work.
func (s *Service) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// workImports does the next thing there is; busy is false when there was none.
func (s *Service) workImports(ctx context.Context) (busy bool, err error) {
	var im *Import
	if err := s.db.Read(ctx, func(tx *db.Tx) (err error) {
		im, err = nextImport(tx)
		return err
	}); err != nil {
		return false, err
	}
	if im != nil {
		err := s.carryOn(ctx, im)
		if errors.Is(err, errGone) {
			err = nil
		}
		return true, err
	}
	return false, s.sweepImports(ctx)
}

// sweepImports removes uploads that broke off with the program, and reports that
// are old.
func (s *Service) sweepImports(ctx context.Context) error {
	var lost []int64
	var old bool
	now := s.db.Clock().Now()
	if err := s.db.Read(ctx, func(tx *db.Tx) (err error) {
		if lost, err = lostImports(tx, now.Add(-lostUpload).UnixMicro()); err != nil {
			return err
		}
		old, err = hasOldErrors(tx, now.Add(-keepErrors).UnixMicro())
		return err
	}); err != nil || len(lost) == 0 && !old {
		return err
	}
	return s.db.Write(ctx, func(tx *db.Tx) error {
		for _, id := range lost {
			if err := deleteImport(tx, id); err != nil {
				return err
			}
		}
		return deleteErrors(tx, now.Add(-keepErrors).UnixMicro())
	})
}

// carryOn works on an import from where it stands to its end, or until ctx ends.
func (s *Service) carryOn(ctx context.Context, im *Import) error {
	t, cols, err := s.open(ctx, im)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		over, err := s.step(ctx, im, t, &cols)
		if err != nil || over {
			return err
		}
	}
	return nil
}

// open reads the header again and goes to where the work stands.
func (s *Service) open(ctx context.Context, im *Import) (*table, columns, error) {
	t := newTable(&parts{ctx: ctx, db: s.db, id: im.ID}, ',', 1, 0)
	cols, err := header(t, im.Kind)
	if err != nil {
		return nil, cols, fmt.Errorf("import %d: its header, which was good: %w", im.ID, err)
	}
	if im.Done > t.done {
		in := &parts{ctx: ctx, db: s.db, id: im.ID, next: im.Done / partSize, skip: int(im.Done % partSize)}
		t = newTable(in, t.comma, im.line, im.Done)
	}
	return t, cols, nil
}

// step puts the next rows on the list, with what is wrong with others and the
// mark of the import in the same transaction: what is done is done once.
func (s *Service) step(ctx context.Context, im *Import, t *table, cols *columns) (over bool, err error) {
	next := *im
	next.State = Importing
	var good []Entry
	var bad []RowError
	for n := 0; n < importRows && len(good) < importRows; n++ {
		l, err := t.next()
		if err == io.EOF {
			next.State = Finished
			break
		}
		if err != nil {
			return false, fmt.Errorf("import %d: %w", im.ID, err)
		}
		entries, wrong := next.row(&l, cols)
		if wrong == nil {
			next.Imported++
			good = append(good, entries...)
			continue
		}
		if next.Failed++; next.Failed <= maxErrors {
			bad = append(bad, RowError{l.number, wrong.Public, l.excerpt()})
		}
	}
	next.Done, next.line = t.done, t.line
	if err := s.db.Write(ctx, func(tx *db.Tx) error { return s.commit(tx, &next, good, bad) }); err != nil {
		return false, fmt.Errorf("import %d: %w", im.ID, err)
	}
	*im = next
	if im.State == Finished {
		s.log.Info("suppressions imported", "import", im.ID, "domain", im.Domain, "list", string(im.Kind), "imported", im.Imported, "failed", im.Failed)
	}
	return im.State == Finished, nil
}

// row makes entries of a row.
func (im *Import) row(l *line, cols *columns) ([]Entry, *errs.Error) {
	if l.err != nil {
		return nil, l.err
	}
	list, err := cols.entries(l.fields, im.Kind)
	for i := range list {
		list[i].DomainID, list[i].Cause = im.DomainID, Cause{By: ByImport, Import: im.ID, Line: l.number}
	}
	return list, err
}

func (s *Service) commit(tx *db.Tx, im *Import, good []Entry, bad []RowError) error {
	if im.Started == 0 {
		im.Started = tx.Now
	}
	if im.State == Finished {
		im.Finished = tx.Now
	}
	if ok, err := moveImport(tx, im); err != nil || !ok {
		return errors.Join(err, gone(ok))
	}
	if len(good) > 0 {
		if err := s.add(tx, good); err != nil {
			return err
		}
	}
	if err := insertErrors(tx, im.ID, bad); err != nil {
		return err
	}
	if im.State == Finished {
		return deleteParts(tx, im.ID)
	}
	return nil
}

func gone(there bool) error {
	if there {
		return nil
	}
	return errGone
}

// parts reads the file of an import from the database, a part at a time.
type parts struct {
	ctx  context.Context
	db   *db.DB
	id   int64
	next int64 // number of the part
	skip int   // bytes of it that are not wanted
	data []byte
}

// Read implements io.Reader.
func (p *parts) Read(b []byte) (int, error) {
	for len(p.data) == 0 {
		err := p.db.Read(p.ctx, func(tx *db.Tx) (err error) {
			p.data, err = selectPart(tx, p.id, p.next)
			return err
		})
		if err != nil {
			return 0, err
		}
		if len(p.data) == 0 {
			return 0, io.EOF
		}
		p.data = p.data[min(p.skip, len(p.data)):]
		p.next, p.skip = p.next+1, 0
	}
	n := copy(b, p.data)
	p.data = p.data[n:]
	return n, nil
}
