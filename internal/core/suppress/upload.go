package suppress

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/op"
)

// Refusals of an upload.
var (
	errNoFile    = errs.New(errs.Invalid, "Missing mandatory parameter: file")
	errLargeFile = errs.New(errs.Invalid, "CSV file is too big, max allowed size is 25 MB")
	errReceiving = &errs.Error{Kind: errs.Unavailable, Public: "too many files are being received at this moment, try again later", RetryAfter: 5 * time.Second}
	errManyOpen  = &errs.Error{Kind: errs.Limited, Public: "too many imports are not finished yet, try again later", RetryAfter: time.Minute}
)

// receive takes the file of an import in, part by part as it arrives, and has it
// worked on. When it fails nothing of the file stays.
func (s *Service) receive(ctx context.Context, im *Import, form op.Form) error {
	select {
	case s.receiving <- struct{}{}:
		defer func() { <-s.receiving }()
	default:
		return errReceiving
	}
	err := s.readForm(ctx, im, form)
	if err == nil && im.ID == 0 {
		err = errNoFile
	}
	if err == nil {
		err = s.db.Write(ctx, func(tx *db.Tx) error {
			ok, err := readyImport(tx, im.ID)
			return errors.Join(err, gone(ok))
		})
	}
	if err != nil {
		return s.abandon(ctx, im, err)
	}
	s.poke()
	return nil
}

// abandon removes what came of a file; if that fails as well the sweep does it.
func (s *Service) abandon(ctx context.Context, im *Import, cause error) error {
	if im.ID == 0 {
		return cause
	}
	if err := s.db.Write(context.WithoutCancel(ctx), func(tx *db.Tx) error { return deleteImport(tx, im.ID) }); err != nil {
		s.log.Error("import that broke off", "import", im.ID, "error", err)
	}
	if errors.Is(cause, errGone) {
		return errs.Wrap(errs.Unavailable, cause, "the import could not be kept, try again")
	}
	return cause
}

// readForm reads the form to its end: a request that breaks off imports nothing.
func (s *Service) readForm(ctx context.Context, im *Import, form op.Form) error {
	for {
		f, err := form.Next()
		if err == io.EOF { // not errors.Is: a body that breaks off is no end
			return nil
		}
		if err != nil {
			return err
		}
		if f.Name != "file" || im.ID != 0 {
			continue
		}
		im.File = clip(f.Filename, maxCell)
		if err := s.store(ctx, im, f.Body); err != nil {
			return err
		}
	}
}

// store keeps a file whose header is good.
func (s *Service) store(ctx context.Context, im *Import, body io.Reader) error {
	part := make([]byte, partSize)
	n, err := io.ReadFull(body, part)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return err
	}
	if _, err := header(newTable(bytes.NewReader(part[:n]), ',', 1, 0), im.Kind); err != nil {
		return err
	}
	id := s.ids.Next()
	if err := s.db.Write(ctx, func(tx *db.Tx) error {
		open, err := openImports(tx, im.AccountID)
		if err == nil && open >= maxOpen {
			err = errManyOpen
		}
		if err != nil {
			return err
		}
		im := *im
		im.ID = id
		return insertImport(tx, &im)
	}); err != nil {
		return err
	}
	im.ID = id
	for number := int64(0); n > 0; number++ {
		if im.Size += int64(n); im.Size > maxFile {
			return errLargeFile
		}
		if err := s.db.Write(ctx, func(tx *db.Tx) error {
			ok, err := insertPart(tx, id, number, part[:n])
			return errors.Join(err, gone(ok))
		}); err != nil {
			return err
		}
		if n, err = io.ReadFull(body, part); err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return err
		}
	}
	return nil
}
