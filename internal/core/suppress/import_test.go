package suppress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/db/dbtest"
	"postroad/internal/base/errs"
	"postroad/internal/base/op"
	"postroad/internal/core/schema"
)

// oneFile is a form with a file, which may break off.
type oneFile struct {
	body io.Reader
	done bool
}

func (f *oneFile) Multipart() bool     { return true }
func (f *oneFile) ContentType() string { return "multipart/form-data" }

func (f *oneFile) Next() (op.Field, error) {
	if f.done {
		return op.Field{}, io.EOF
	}
	f.done = true
	return op.Field{Name: "file", Filename: "list.csv", IsFile: true, Body: f.body}, nil
}

func upload(t testing.TB, s *Service, kind Kind, file io.Reader) (*Import, error) {
	t.Helper()
	im := &Import{AccountID: "acc", DomainID: 1, Domain: "example.com", Kind: kind, Key: "k"}
	err := s.receive(context.Background(), im, &oneFile{body: file})
	return im, err
}

// imports works on all imports there are.
func imports(t testing.TB, s *Service) {
	t.Helper()
	for {
		busy, err := s.workImports(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if !busy {
			return
		}
	}
}

func stored(t testing.TB, s *Service, id int64) (im *Import, wrong []RowError) {
	t.Helper()
	if err := s.db.Read(context.Background(), func(tx *db.Tx) (err error) {
		if im, err = selectImport(tx, "acc", id); err == nil {
			wrong, err = selectErrors(tx, id)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return im, wrong
}

func rows(t testing.TB, s *Service, table string) (n int) {
	t.Helper()
	if err := s.db.Read(context.Background(), func(tx *db.Tx) error {
		return tx.QueryRow("SELECT COUNT(*) FROM " + table).Scan(&n)
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// A file of several parts, whose rows lie across their borders.
func TestImport(t *testing.T) {
	each(t, func(t *testing.T, s *Service, c *clock.Fake) {
		const n = 12_000
		var file bytes.Buffer
		file.WriteString("\ufeffaddress,code,error\r\n")
		for i := range n {
			fmt.Fprintf(&file, "u%05d@example.net,551,\"moved\n%s\"\r\n", i, strings.Repeat("x", i%40))
			if i%4000 == 0 {
				file.WriteString("nobody,1\r\n")
			}
		}
		im, err := upload(t, s, Bounces, &file)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := stored(t, s, im.ID); got.State != Waiting || got.Size != im.Size || got.Size < 2*partSize {
			t.Fatalf("%+v", got)
		}
		c.Advance(time.Minute)
		imports(t, s)
		got, wrong := stored(t, s, im.ID)
		if got.State != Finished || got.Imported != n || got.Failed != 3 || got.Done != got.Size || got.Created != start.UnixMicro() ||
			got.Started != start.Add(time.Minute).UnixMicro() || got.Finished == 0 {
			t.Errorf("%+v", got)
		}
		if len(wrong) != 3 || wrong[1] != (RowError{8005, `'address' parameter is invalid: "nobody": domain missing`, "nobody,1"}) {
			t.Errorf("%+v", wrong)
		}
		if a, b := rows(t, s, "suppression"), rows(t, s, "suppression_import_part"); a != n || b != 0 {
			t.Errorf("%d entries and %d parts", a, b)
		}
		item, err := s.Get(context.Background(), 1, Bounces, "U00007@example.net")
		if err != nil || item.Cause != (Cause{By: ByImport, Import: im.ID, Line: 17}) || item.Reason != "moved\nxxxxxxx" {
			t.Errorf("%+v %v", item, err)
		}
		if v := code(t, s, 1, "u11999@example.net"); v != 605 {
			t.Errorf("an imported address is not suppressed: %d", v)
		}
		c.Advance(keepErrors + time.Second)
		imports(t, s)
		if got, wrong := stored(t, s, im.ID); got == nil || len(wrong) != 0 {
			t.Errorf("after a long time %+v, %d errors", got, len(wrong))
		}
		if err := s.db.Write(context.Background(), func(tx *db.Tx) error { return s.DeleteDomain(tx, 1) }); err != nil {
			t.Fatal(err)
		}
		if got, _ := stored(t, s, im.ID); got != nil {
			t.Errorf("the domain is gone, its import is not")
		}
	})
}

func TestUploadRefused(t *testing.T) {
	each(t, func(t *testing.T, s *Service, c *clock.Fake) {
		broken := errors.New("broken")
		line := strings.Repeat("x", 99) + "\n"
		for name, tt := range map[string]struct {
			file io.Reader
			want string
		}{
			"header":        {strings.NewReader("email\na@example.com\n"), "while reading csv header"},
			"empty":         {strings.NewReader(""), "while reading csv header"},
			"too large":     {io.MultiReader(strings.NewReader("address\n"), strings.NewReader(strings.Repeat(line, maxFile/len(line)+1))), errLargeFile.Public},
			"breaks off":    {io.MultiReader(strings.NewReader("address\na@example.com"), &failing{broken}), "broken"},
			"in the middle": {io.MultiReader(strings.NewReader("address\n"+strings.Repeat(line, 5000)), &failing{broken}), "broken"},
		} {
			_, err := upload(t, s, Bounces, tt.file)
			var e *errs.Error
			if err == nil || errors.As(err, &e) && e.Public != tt.want || e == nil && err.Error() != tt.want {
				t.Errorf("%s: %v, want %s", name, err, tt.want)
			}
		}
		if a, b := rows(t, s, "suppression_import"), rows(t, s, "suppression_import_part"); a+b != 0 {
			t.Errorf("%d imports and %d parts stay", a, b)
		}
		for i := range maxOpen + 1 {
			_, err := upload(t, s, Bounces, strings.NewReader("address\n"))
			if want := i == maxOpen; errs.Is(err, errs.Limited) != want {
				t.Fatalf("import %d: %v", i, err)
			}
		}
		// One that a dead program was receiving goes after a time.
		if err := s.db.Write(context.Background(), func(tx *db.Tx) error {
			return insertImport(tx, &Import{ID: 5, AccountID: "acc", Kind: Bounces})
		}); err != nil {
			t.Fatal(err)
		}
		imports(t, s)
		c.Advance(lostUpload + time.Second)
		imports(t, s)
		if got, _ := stored(t, s, 5); got != nil {
			t.Errorf("%+v", got)
		}
	})
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

// Errors beyond the bound are counted, and a domain that goes takes its import
// along in the middle of the work.
func TestImportBounds(t *testing.T) {
	each(t, func(t *testing.T, s *Service, _ *clock.Fake) {
		im, err := upload(t, s, Complaints, strings.NewReader("address\n"+strings.Repeat("nobody\n", maxErrors+700)))
		if err != nil {
			t.Fatal(err)
		}
		imports(t, s)
		if got, wrong := stored(t, s, im.ID); got.Failed != maxErrors+700 || len(wrong) != maxErrors {
			t.Errorf("%d failed, %d reported", got.Failed, len(wrong))
		}
		if im, err = upload(t, s, Complaints, strings.NewReader("address\n"+strings.Repeat("a@example.com\n", 2*importRows))); err != nil {
			t.Fatal(err)
		}
		tab, cols, err := s.open(context.Background(), im)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.step(context.Background(), im, tab, &cols); err != nil {
			t.Fatal(err)
		}
		if err := s.db.Write(context.Background(), func(tx *db.Tx) error { return s.DeleteDomain(tx, 1) }); err != nil {
			t.Fatal(err)
		}
		if _, err := s.step(context.Background(), im, tab, &cols); !errors.Is(err, errGone) {
			t.Errorf("%v", err)
		}
		imports(t, s)
		if n := rows(t, s, "suppression"); n != 0 {
			t.Errorf("%d entries of a domain that is gone", n)
		}
	})
}

const (
	childURL  = "POSTROAD_TEST_IMPORT"
	childRows = 20_000
)

// A program that is killed in the middle of an import takes it up again: every row
// is there once, and every bad one is reported once.
func TestImportKilled(t *testing.T) {
	if url := os.Getenv(childURL); url != "" {
		s := openFile(t, url)
		t.Error(s.RunImports(context.Background())) // until it is killed
		return
	}
	url := filepath.Join(t.TempDir(), "test.db")
	s := openFile(t, url)
	var file strings.Builder
	file.WriteString("address\n")
	for i := range childRows {
		fmt.Fprintf(&file, "u%d@example.com\n", i)
		if i%100 == 0 {
			file.WriteString("nobody\n")
		}
	}
	im, err := upload(t, s, Bounces, strings.NewReader(file.String()))
	if err != nil {
		t.Fatal(err)
	}
	kills := 0
	for before := int64(-1); kills < 3; kills++ {
		cmd := exec.Command(os.Args[0], "-test.run=^TestImportKilled$")
		cmd.Env = append(os.Environ(), childURL+"="+url)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		got, _ := stored(t, s, im.ID)
		for deadline := time.Now().Add(time.Minute); got.Done <= before && got.State != Finished && time.Now().Before(deadline); {
			got, _ = stored(t, s, im.ID)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		if got.Done <= before {
			t.Fatalf("no progress beyond %d bytes", before)
		}
		before = got.Done
		if got.State == Finished {
			break
		}
	}
	if got, _ := stored(t, s, im.ID); got.State == Finished && kills == 0 {
		t.Fatal("it ended before it was killed")
	}
	imports(t, s)
	got, wrong := stored(t, s, im.ID)
	if got.State != Finished || got.Imported != childRows || got.Failed != childRows/100 || len(wrong) != childRows/100 || rows(t, s, "suppression") != childRows {
		t.Errorf("%+v, %d errors, %d entries", got, len(wrong), rows(t, s, "suppression"))
	}
}

func openFile(t *testing.T, url string) *Service {
	t.Helper()
	steps, err := schema.Steps()
	if err != nil {
		t.Fatal(err)
	}
	return newService(dbtest.Open(t, url, clock.System{}, steps), clock.System{})
}
