package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"postroad/internal/base/disk"
)

// secretBytes is the length of the master secret.
const secretBytes = 32

// RestoreOptions say what to restore and where.
type RestoreOptions struct {
	From string // a backup
	Data string // a directory that does not exist or is empty
}

// Restored is what Restore did.
type Restored struct {
	Directory string    `json:"directory"`
	Made      time.Time `json:"made"` // when the backup was begun
	Files     int       `json:"files"`
	Bytes     int64     `json:"bytes"`
	Database  string    `json:"database"` // included, or separate: it must be restored with PostgreSQL's tools
	// Settings is the settings file in the backup, if it lay outside the data
	// directory. It is not put back.
	Settings string `json:"settings,omitempty"`
}

// Restore makes a data directory of a backup. It compares all files with the
// manifest before it begins and again what it has written. A directory that does
// not exist appears when it is complete. An empty one is filled, the secret
// last: without it the program refuses the database, so that half a restoration
// is not mistaken for a whole one.
func Restore(ctx context.Context, o RestoreOptions) (_ *Restored, err error) {
	m, err := readManifest(o.From)
	if err != nil {
		return nil, err
	}
	t := &restoration{from: o.From, m: m}
	if t.data, err = filepath.Abs(o.Data); err != nil {
		return nil, err
	}
	if err := vacant(t.data); err != nil {
		return nil, fmt.Errorf("a backup is restored into an empty directory only: %w", err)
	}
	if err := t.same(ctx, o.From, func(path string) (string, bool) { return path, true }); err != nil {
		return nil, err
	}
	if err := t.place(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(t.stage))
		}
	}()
	if err := t.fill(ctx); err != nil {
		return nil, err
	}
	if err := t.publish(); err != nil {
		return nil, err
	}
	return &Restored{Directory: t.data, Made: m.Begun, Files: t.files, Bytes: t.bytes, Database: m.Database, Settings: t.settings()}, nil
}

type restoration struct {
	from, data string
	m          *manifest
	stage      string
	inside     bool // the stage lies in the directory that is there
	owner      os.FileInfo
	files      int
	bytes      int64
}

// same refuses files that are not as the manifest says.
func (t *restoration) same(ctx context.Context, dir string, only func(string) (string, bool)) error {
	var bad []string
	err := t.m.compare(ctx, dir, only, func(f manifestFile, why string) {
		if len(bad) < 10 {
			bad = append(bad, f.Path+" "+why)
		}
	})
	if err == nil && len(bad) > 0 {
		err = fmt.Errorf("%w: %s", ErrDamaged, strings.Join(bad, "; "))
	}
	return err
}

// ofData turns a path of the manifest into one of the data directory.
func ofData(path string) (string, bool) { return strings.CutPrefix(path, dataPart+"/") }

func (t *restoration) settings() string {
	for _, f := range t.m.Files {
		if strings.HasPrefix(f.Path, settingsPart+"/") {
			return filepath.Join(t.from, filepath.FromSlash(f.Path))
		}
	}
	return ""
}

// place makes the directory that is filled first: inside one that exists, which
// may be a mount point with an owner of its own, else beside the new one.
func (t *restoration) place() (err error) {
	t.owner, err = os.Stat(t.data)
	switch {
	case err == nil:
		t.inside, t.stage = true, filepath.Join(t.data, ".restore")
		err = os.Mkdir(t.stage, 0o700)
	case errors.Is(err, fs.ErrNotExist):
		if err = os.MkdirAll(filepath.Dir(t.data), 0o700); err == nil {
			t.stage = stageName(t.data, "restore")
			err = os.Mkdir(t.stage, 0o700)
		}
	}
	if err == nil {
		err = enoughRoom(t.stage, t.m.bytes())
	}
	if err != nil && t.stage != "" {
		err = errors.Join(err, os.RemoveAll(t.stage))
	}
	return err
}

// fill copies and compares again, reading back what was written.
func (t *restoration) fill(ctx context.Context) error {
	c := newCopier(t.stage)
	for _, f := range t.m.Files {
		name, ok := ofData(f.Path)
		if !ok {
			continue
		}
		got, err := c.copy(ctx, filepath.Join(t.from, filepath.FromSlash(f.Path)), name, -1)
		if err != nil {
			return err
		}
		if got.Size != f.Size || got.SHA256 != f.SHA256 {
			return fmt.Errorf("%w: %s changed while it was read", ErrDamaged, f.Path)
		}
		t.files++
		t.bytes += got.Size
	}
	if err := t.same(ctx, t.stage, ofData); err != nil {
		return fmt.Errorf("what was written is not what was read: %w", err)
	}
	if err := t.own(); err != nil {
		return err
	}
	return syncTree(t.stage)
}

// own gives everything to the owner of the directory that was there, as far as
// this user may: the program has to read it.
func (t *restoration) own() error {
	if !t.inside || os.Geteuid() != 0 {
		return nil
	}
	return filepath.WalkDir(t.stage, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return disk.OwnAs(path, t.owner)
	})
}

// publish puts the restored files in their place.
func (t *restoration) publish() error {
	if !t.inside {
		if err := os.Rename(t.stage, t.data); err != nil {
			return err
		}
		return disk.SyncDir(filepath.Dir(t.data))
	}
	entries, err := os.ReadDir(t.stage)
	if err != nil {
		return err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return rank(a) - rank(b) })
	for _, e := range entries {
		to := filepath.Join(t.data, e.Name())
		if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s has appeared meanwhile: is a program running on this directory? (%w)", to, fs.ErrExist)
		}
		if err := os.Rename(filepath.Join(t.stage, e.Name()), to); err != nil {
			return err
		}
		if err := disk.SyncDir(t.data); err != nil {
			return err
		}
	}
	return errors.Join(os.Remove(t.stage), disk.SyncDir(t.data))
}

// rank orders what is moved: the database first, the secret last.
func rank(e fs.DirEntry) int {
	switch e.Name() {
	case databaseName:
		return 0
	case secretName:
		return 2
	}
	return 1
}
