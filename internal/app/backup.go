package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"postroad/internal/base/blob"
	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/disk"
	"postroad/internal/base/ids"
	"postroad/internal/config"
)

// A backup is made beside a running program or without one, by reading the data
// directory: SQLite gives a snapshot to a second process, segments and the
// journal are only appended to. The order makes it whole. First the store is
// asked to delete nothing. Then the journal is copied: what it holds is in the
// snapshot that follows, or is applied by the start after a restore; and so is the
// spool of opens and clicks, of which the snapshot says how far it was read. Then the
// database, and last the segments: they are at least as long as what the
// database and the journal name. So a backup holds everything acknowledged
// before it was begun.

// Names in the data directory.
const (
	databaseName = "postroad.db"
	blobsName    = "blobs"
	journalName  = "journal"
	secretName   = "secret"
)

// BackupOptions say what to copy and where.
type BackupOptions struct {
	Config *config.Config
	// To is a directory that does not exist or is empty.
	To string
	// FilesOnly: with PostgreSQL, back up what is not in the database.
	FilesOnly bool
	// Quick leaves out the check of the copy.
	Quick   bool
	Version string
	Clock   clock.Clock // nil: the system's
}

// Backup is what Back made.
type Backup struct {
	Directory string        `json:"directory"`
	Files     int           `json:"files"`
	Bytes     int64         `json:"bytes"`
	Database  string        `json:"database"` // included or separate
	Took      time.Duration `json:"-"`
	Seconds   float64       `json:"seconds"`
	// Check is what was found in the copy; nil if it was not looked at. Damage
	// that is in the original is in the copy as well.
	Check *Inspection `json:"check,omitempty"`
}

// ErrPostgres: the database is not ours to copy.
var ErrPostgres = errors.New("the database is PostgreSQL, which has its own tools: first run pg_dump, then back up the rest with --files-only")

// Back makes a backup. The directory appears when it is complete, not before.
func Back(ctx context.Context, o BackupOptions) (_ *Backup, err error) {
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	b := &backup{BackupOptions: o, m: manifest{Format: manifestFormat, Program: o.Version, Begun: o.Clock.Now().UTC(), Database: databaseIncluded}}
	if b.postgres() {
		if b.m.Database = databaseSeparate; !o.FilesOnly {
			return nil, ErrPostgres
		}
	} else if o.FilesOnly {
		return nil, errors.New("--files-only is for PostgreSQL: here the database is one of the files")
	}
	if err := b.place(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(b.stage))
		}
	}()
	if err := b.fill(ctx); err != nil {
		return nil, err
	}
	return b.finish(ctx)
}

// backup is one under way.
type backup struct {
	BackupOptions
	m        manifest
	data, to string // absolute, without symbolic links
	stage    string // where it is made
	c        *copier
}

func (b *backup) postgres() bool { return db.IsPostgres(string(b.Config.Database)) }

// place checks both directories and makes the one in which the backup grows,
// beside its final place so that it can be renamed.
func (b *backup) place() (err error) {
	if b.data, err = filepath.Abs(b.Config.Data); err == nil {
		b.data, err = filepath.EvalSymlinks(b.data)
	}
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	if _, err := os.Stat(filepath.Join(b.data, secretName)); err != nil {
		return fmt.Errorf("%s is not a data directory of Postroad: %w", b.data, err)
	}
	if b.to, err = filepath.Abs(b.To); err != nil {
		return err
	}
	if err := vacant(b.to); err != nil {
		return err
	}
	parent := filepath.Dir(b.to)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return err
	}
	if parent, err = filepath.EvalSymlinks(parent); err != nil {
		return err
	}
	b.to = filepath.Join(parent, filepath.Base(b.to))
	if b.to == b.data || strings.HasPrefix(b.to, b.data+string(filepath.Separator)) {
		return fmt.Errorf("%s lies in the data directory %s", b.to, b.data)
	}
	if b.stage, err = os.MkdirTemp(parent, "."+filepath.Base(b.to)+".partial-"); err != nil { // mode 0700
		return err
	}
	b.c = newCopier(b.stage)
	return nil
}

// vacant refuses a directory with something in it.
func vacant(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != "lost+found" { // of a file system of its own
			return fmt.Errorf("%s is not empty: it has %q", dir, e.Name())
		}
	}
	return nil
}

// fill copies everything in the order explained above.
func (b *backup) fill(ctx context.Context) error {
	hold, err := blob.Hold(filepath.Join(b.data, blobsName))
	if err != nil {
		return err
	}
	defer hold.Close() // a lock: nothing to lose
	need, err := treeSize(b.data)
	if err == nil {
		err = enoughRoom(b.stage, need)
	}
	if err != nil {
		return err
	}
	for _, part := range []func(context.Context) error{b.journal, b.spool, b.database, b.segments, b.others, b.settings} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// treeSize is what a copy of the directory takes at most.
func treeSize(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = e.Info(); err == nil {
				n += info.Size()
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a file of the running program
		}
		return err
	})
	return n, err
}

// journal copies what may not be in the database yet. A file that goes away
// meanwhile was applied before the snapshot is taken.
func (b *backup) journal(ctx context.Context) error { return b.directory(ctx, journalName) }

// spool copies the opens and clicks that may be no events yet.
func (b *backup) spool(ctx context.Context) error { return b.directory(ctx, trackName) }

func (b *backup) directory(ctx context.Context, dir string) error {
	entries, err := os.ReadDir(filepath.Join(b.data, dir)) // in the order of their names
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		_, err := b.c.copy(ctx, filepath.Join(b.data, dir, e.Name()), dataPart+"/"+dir+"/"+e.Name(), -1)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (b *backup) database(ctx context.Context) error {
	if b.postgres() {
		return nil
	}
	to := filepath.Join(b.stage, dataPart, databaseName)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	if err := db.Snapshot(ctx, filepath.Join(b.data, databaseName), to); err != nil {
		return err
	}
	return b.c.adopt(ctx, dataPart+"/"+databaseName)
}

// segments copies message bodies. Only the newest segment may be being written:
// it is copied up to its last whole record.
func (b *backup) segments(ctx context.Context) error {
	files, err := blob.Files(filepath.Join(b.data, blobsName))
	if err != nil {
		return err
	}
	for i, f := range files {
		limit := f.Bytes
		if i == len(files)-1 {
			if limit, err = wholeRecords(ctx, f); err != nil {
				return err
			}
		}
		_, err := b.c.copy(ctx, f.Path, dataPart+"/"+blobsName+"/"+filepath.Base(f.Path), limit)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a file given up before it held a record
			return err
		}
	}
	return nil
}

// wholeRecords is where the last record of a segment ends.
func wholeRecords(ctx context.Context, s blob.SegmentFile) (int64, error) {
	f, err := os.Open(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	w, err := blob.Walk(f, s.ID, s.Bytes, func(blob.Record) error { return ctx.Err() })
	return s.Bytes - w.Torn, err
}

// others copies what else lies in the data directory: the secret, the name of
// the node, certificates. A name that begins with a dot is a file being written.
func (b *backup) others(ctx context.Context) error {
	entries, err := os.ReadDir(b.data)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if name == blobsName || name == journalName || name == trackName || strings.HasPrefix(name, databaseName) {
			continue
		}
		if err := b.other(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (b *backup) other(ctx context.Context, path string) error {
	if strings.HasPrefix(filepath.Base(path), ".") || path == "lost+found" {
		return nil
	}
	full := filepath.Join(b.data, path)
	info, err := os.Stat(full) // a mounted secret may be a link
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	switch {
	case info.Mode().IsRegular():
		_, err = b.c.copy(ctx, full, dataPart+"/"+filepath.ToSlash(path), -1)
		return err
	case !info.IsDir():
		return nil // a socket
	}
	if link, err := os.Lstat(full); err != nil || !link.IsDir() {
		return err // a link to a directory may lead anywhere, also back
	}
	entries, err := os.ReadDir(full)
	for _, e := range entries {
		if err == nil {
			err = b.other(ctx, filepath.Join(path, e.Name()))
		}
	}
	return err
}

// settings copies the settings file if it lies elsewhere.
func (b *backup) settings(ctx context.Context) error {
	if b.Config.File == "" {
		return nil
	}
	file, err := filepath.Abs(b.Config.File)
	if err != nil {
		return err
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(file)); err == nil && dir == b.data {
		return nil
	}
	_, err = b.c.copy(ctx, file, settingsPart+"/"+filepath.Base(file), -1)
	return err
}

// finish writes the manifest, looks at the copy and puts it in its place.
func (b *backup) finish(ctx context.Context) (*Backup, error) {
	b.m.Files, b.m.Finished = b.c.files, b.Clock.Now().UTC()
	if err := b.m.write(b.stage); err != nil {
		return nil, err
	}
	out := &Backup{Directory: b.to, Files: len(b.m.Files), Bytes: b.m.bytes(), Database: b.m.Database}
	if !b.Quick {
		var err error
		if out.Check, err = Inspect(ctx, InspectOptions{Directory: b.stage}); err != nil {
			return nil, fmt.Errorf("checking the copy: %w", err)
		}
		out.Check.Directory = b.to
	}
	if err := syncTree(b.stage); err != nil {
		return nil, err
	}
	if err := b.publish(); err != nil {
		return nil, err
	}
	out.Took = b.Clock.Now().Sub(b.m.Begun)
	out.Seconds = float64(out.Took.Milliseconds()) / 1000
	return out, nil
}

// publish gives the finished backup its name.
func (b *backup) publish() error {
	if err := os.Remove(b.to); err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty directory
		return err
	}
	if err := os.Rename(b.stage, b.to); err != nil {
		return err
	}
	return disk.SyncDir(filepath.Dir(b.to))
}

// stageName is a name beside dir for what becomes dir.
func stageName(dir, word string) string {
	return filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+"."+word+"-"+ids.Hex(4))
}
