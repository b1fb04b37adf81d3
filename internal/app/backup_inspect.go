package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"postroad/internal/base/blob"
	"postroad/internal/base/db"
)

// InspectOptions say what to look at.
type InspectOptions struct {
	// Directory is a backup or a data directory.
	Directory string
	// Database is the URL of PostgreSQL; "" for SQLite in the directory.
	Database string
}

// Inspection is what a check of a backup or a data directory found.
type Inspection struct {
	Directory string `json:"directory"`
	Kind      string `json:"kind"` // backup or data
	OK        bool   `json:"ok"`
	// Made is when a backup was begun.
	Made *time.Time `json:"made,omitempty"`
	// Files and FileBytes are what the manifest of a backup names.
	Files     int   `json:"files,omitempty"`
	FileBytes int64 `json:"file_bytes,omitempty"`
	// Database is ok, damaged, or not included.
	Database string `json:"database"`
	// Segments, Records and Bytes count the stored bodies that are good.
	Segments int   `json:"segments"`
	Records  int64 `json:"records"`
	Bytes    int64 `json:"bytes"`
	// Messages counts the messages whose body was looked for, Unreadable those of
	// them without a good one.
	Messages   int64 `json:"messages"`
	Unreadable int64 `json:"unreadable"`
	// Orphans are good bodies that no message refers to: of expired messages, and
	// of mail that was being taken when the program ended.
	Orphans     int64 `json:"orphans"`
	OrphanBytes int64 `json:"orphan_bytes"`
	// Torn is the number of bytes behind the last records of segments: of writes
	// that were never acknowledged. They are no damage.
	Torn int64 `json:"torn_bytes"`
	// Damage lists at most 100 findings; More is the number of others.
	Damage []Damage `json:"damage"`
	More   int      `json:"more_damage,omitempty"`
}

// Damage is one thing that is not as it should be.
type Damage struct {
	What string `json:"what"` // file, database, segment or body
	// Where is a path, or the reference of a body.
	Where string `json:"where"`
	Text  string `json:"text"`
	// Message is the row id of the message a body belongs to.
	Message int64 `json:"message,omitempty"`
}

const maxDamage = 100

func (r *Inspection) damaged(d Damage) {
	if len(r.Damage) < maxDamage {
		r.Damage = append(r.Damage, d)
	} else {
		r.More++
	}
}

// Inspect verifies a backup, or the data directory of a program that runs or
// does not: files against the manifest, the database, every stored record, and
// that every message has its body. Damage is in the result; an error means that
// the check could not be made. Memory is bounded by one segment.
func Inspect(ctx context.Context, o InspectOptions) (*Inspection, error) {
	r := &Inspection{Directory: o.Directory, Kind: "data", Database: "ok", Damage: []Damage{}}
	data := o.Directory
	if _, err := os.Stat(filepath.Join(o.Directory, manifestName)); err == nil {
		r.Kind, data = "backup", filepath.Join(o.Directory, dataPart)
	} else if _, err := os.Stat(filepath.Join(data, secretName)); err != nil {
		return nil, fmt.Errorf("%s is neither a backup nor a data directory: it has no %s and no %s", o.Directory, manifestName, secretName)
	}
	url := o.Database
	if r.Kind == "backup" {
		m, err := r.files(ctx)
		if err != nil || m == nil {
			return r, err
		}
		if m.Database == databaseSeparate {
			r.Database = "not included"
		}
	} else if err := r.secret(data); err != nil {
		return nil, err
	}
	if url == "" {
		url = filepath.Join(data, databaseName)
	}
	if err := r.contents(ctx, data, url); err != nil {
		return nil, err
	}
	r.OK = len(r.Damage) == 0
	return r, nil
}

// files compares a backup with its manifest; nil if that cannot be believed.
func (r *Inspection) files(ctx context.Context) (*manifest, error) {
	m, err := readManifest(r.Directory)
	if errors.Is(err, ErrDamaged) {
		r.damaged(Damage{What: "file", Where: manifestName, Text: err.Error()})
		r.Database = "not looked at"
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r.Made, r.Files, r.FileBytes = &m.Begun, len(m.Files), m.bytes()
	err = m.compare(ctx, r.Directory, func(path string) (string, bool) { return path, true }, func(f manifestFile, why string) {
		r.damaged(Damage{What: "file", Where: f.Path, Text: why})
	})
	return m, err
}

// secret looks at what seals the keys in the database.
func (r *Inspection) secret(data string) error {
	text, err := os.ReadFile(filepath.Join(data, secretName))
	if err != nil {
		return err
	}
	if len(text) != secretBytes {
		r.damaged(Damage{What: "file", Where: secretName, Text: fmt.Sprintf("has %d bytes instead of %d: no key in the database can be read without it", len(text), secretBytes)})
	}
	return nil
}

// contents looks at the database and the bodies. A program that runs beside us
// is kept from deleting segments meanwhile.
func (r *Inspection) contents(ctx context.Context, data, url string) error {
	dir := filepath.Join(data, blobsName)
	if r.Kind == "data" {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			r.damaged(Damage{What: "segment", Where: blobsName, Text: "the directory of message bodies is missing"})
		} else {
			hold, err := blob.Hold(dir)
			if err != nil {
				return err
			}
			defer hold.Close() // a lock: nothing to lose
		}
	}
	in := &inspector{Inspection: r, dir: dir}
	if r.Database == "ok" {
		if err := in.open(ctx, url); err != nil {
			return err
		}
		if in.db != nil {
			defer in.db.Close() // opened for reading
		}
	}
	return in.segments(ctx)
}

// inspector compares bodies with the messages that need them.
type inspector struct {
	*Inspection
	dir string
	db  *db.Reader // nil when there is none that can be read
}

// open checks the database. One that cannot be read is damage.
func (in *inspector) open(ctx context.Context, url string) error {
	bad := func(err error) error {
		if ctx.Err() != nil {
			return err
		}
		in.Database = "damaged"
		in.damaged(Damage{What: "database", Where: db.Redact(url), Text: err.Error()})
		return nil
	}
	if !db.IsPostgres(url) {
		if _, err := os.Stat(url); err != nil {
			return bad(err)
		}
	}
	reader, err := db.OpenReader(ctx, url)
	if err != nil {
		if db.IsPostgres(url) {
			return err
		}
		return bad(err)
	}
	problems, err := reader.Check(ctx)
	for _, p := range problems {
		in.Database = "damaged"
		in.damaged(Damage{What: "database", Where: databaseName, Text: p})
	}
	if err != nil {
		return errors.Join(bad(err), reader.Close())
	}
	in.db = reader
	return nil
}

// segments looks at every segment there is, and at those only named.
func (in *inspector) segments(ctx context.Context) error {
	var named []uint64
	if in.db != nil {
		err := in.db.Read(ctx, func(tx *db.Tx) (err error) {
			named, err = segmentsNamed(tx)
			return err
		})
		if err != nil {
			if ctx.Err() != nil {
				return err
			}
			in.Database = "damaged"
			in.damaged(Damage{What: "database", Where: databaseName, Text: "messages cannot be read: " + err.Error()})
			in.db = nil
		}
	}
	files, err := blob.Files(in.dir)
	if err != nil {
		return err
	}
	for _, id := range named {
		if !slices.ContainsFunc(files, func(f blob.SegmentFile) bool { return f.ID == id }) {
			if err := in.missing(ctx, id); err != nil {
				return err
			}
		}
	}
	for _, f := range files {
		if err := in.segment(ctx, f); err != nil {
			return err
		}
	}
	in.Segments = len(files)
	return nil
}

// missing counts the messages whose segment is gone.
func (in *inspector) missing(ctx context.Context, id uint64) error {
	var n int64
	err := in.db.Read(ctx, func(tx *db.Tx) (err error) {
		n, err = countIn(tx, id)
		return err
	})
	if err != nil || n == 0 { // expired meanwhile
		return err
	}
	in.Messages += n
	in.Unreadable += n
	in.damaged(Damage{What: "segment", Where: fmt.Sprint(id), Text: fmt.Sprintf("is missing: %d messages have lost their bodies", n)})
	return nil
}

// found is a record with an intact header.
type found struct {
	offset, length int64
	good, needed   bool
}

// segment verifies a segment and looks for the bodies of the messages that
// refer to it.
func (in *inspector) segment(ctx context.Context, s blob.SegmentFile) error {
	f, err := os.Open(s.Path)
	if errors.Is(err, fs.ErrNotExist) { // given up meanwhile, as a rule before it held a record
		if in.db == nil {
			return nil
		}
		return in.missing(ctx, s.ID)
	}
	if err != nil {
		return err
	}
	defer f.Close() // opened for reading
	var list []found
	w, err := blob.Walk(f, s.ID, s.Bytes, func(r blob.Record) error {
		list = append(list, found{offset: r.Offset, length: r.Length, good: r.Good})
		return ctx.Err()
	})
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		in.damaged(Damage{What: "segment", Where: filepath.Base(s.Path), Text: "cannot be read to its end: " + err.Error()})
	}
	in.Records += w.Records
	in.Bytes += w.Bytes
	in.Torn += w.Torn
	if w.Bad > 0 || w.Lost > 0 || !w.Header && w.Records > 0 {
		in.damaged(Damage{What: "segment", Where: filepath.Base(s.Path), Text: describe(w)})
	}
	if in.db == nil {
		return nil
	}
	if err := in.bodies(ctx, f, s.ID, list); err != nil {
		return err
	}
	for _, r := range list {
		if r.good && !r.needed {
			in.Orphans++
			in.OrphanBytes += r.length
		}
	}
	return nil
}

func describe(w blob.Walked) string {
	text := fmt.Sprintf("%d damaged records, %d bytes that are no records, %d good records", w.Bad, w.Lost, w.Records)
	if !w.Header {
		text += ", damaged header"
	}
	return text
}

// pageOfBodies bounds one look at the messages, so that a running program's
// write-ahead log is not held up.
const pageOfBodies = 2000

func (in *inspector) bodies(ctx context.Context, f *os.File, segment uint64, list []found) error {
	for after := int64(0); ; {
		var rows []bodyRow
		err := in.db.Read(ctx, func(tx *db.Tx) (err error) {
			rows, err = bodiesIn(tx, segment, after, pageOfBodies)
			return err
		})
		if err != nil {
			if ctx.Err() != nil {
				return err
			}
			in.Database = "damaged"
			in.damaged(Damage{What: "database", Where: databaseName, Text: fmt.Sprintf("messages of segment %d cannot be read: %v", segment, err)})
			return nil
		}
		for _, row := range rows {
			in.body(f, segment, list, row)
			after = row.id
		}
		if len(rows) < pageOfBodies {
			return nil
		}
	}
}

// body looks for one message's record among those found. One that is not there
// may have been written since, or stand where damage hid it.
func (in *inspector) body(f *os.File, segment uint64, list []found, row bodyRow) {
	in.Messages++
	ref, err := blob.ParseRef(row.blob)
	if err == nil && ref.Segment != segment {
		err = fmt.Errorf("%w: not of segment %d", blob.ErrBadRef, segment)
	}
	if err == nil {
		i, ok := slices.BinarySearchFunc(list, ref.Offset, func(r found, at int64) int { return int(min(max(r.offset-at, -1), 1)) })
		if ok && list[i].length == ref.Length {
			if list[i].needed = true; list[i].good {
				return
			}
			err = fmt.Errorf("%w: %s", blob.ErrCorrupt, ref)
		} else {
			err = blob.Check(f, ref)
		}
	}
	if err != nil {
		in.Unreadable++
		in.damaged(Damage{What: "body", Where: row.blob, Message: row.id, Text: err.Error()})
	}
}
