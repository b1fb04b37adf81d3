package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"postroad/internal/base/disk"
)

const (
	manifestName   = "manifest.json"
	manifestSum    = "manifest.json.sha256" // in the form of sha256sum
	manifestFormat = 1
	maxManifest    = 256 << 20 // some two million files
	dataPart       = "data"    // what belongs in the data directory
	settingsPart   = "settings"
)

// ErrDamaged: a backup is not what its manifest says.
var ErrDamaged = errors.New("the backup is damaged")

// manifest lists what a backup consists of. It is written last.
type manifest struct {
	Format   int            `json:"format"`
	Program  string         `json:"program"` // version that made it
	Begun    time.Time      `json:"begun"`
	Finished time.Time      `json:"finished"`
	Database string         `json:"database"` // included, or separate: PostgreSQL
	Files    []manifestFile `json:"files"`
}

// manifestFile is one file; Path is relative to the backup, with slashes.
type manifestFile struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

const (
	databaseIncluded = "included"
	databaseSeparate = "separate"
)

// parseManifest reads a manifest and refuses one that could lead out of its
// directory or does not make sense.
func parseManifest(text []byte) (*manifest, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	var m manifest
	if err := dec.Decode(&m); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, manifestName, err)
	}
	if m.Format != manifestFormat {
		return nil, fmt.Errorf("the backup has format %d, this program knows %d", m.Format, manifestFormat)
	}
	if m.Database != databaseIncluded && m.Database != databaseSeparate {
		return nil, fmt.Errorf("%w: %s: database %q", ErrDamaged, manifestName, m.Database)
	}
	seen := make(map[string]bool, len(m.Files))
	for _, f := range m.Files {
		if err := f.check(); err != nil {
			return nil, err
		}
		if seen[f.Path] {
			return nil, fmt.Errorf("%w: %s names %q twice", ErrDamaged, manifestName, f.Path)
		}
		seen[f.Path] = true
	}
	if m.Database == databaseIncluded && !seen[dataPart+"/"+databaseName] {
		return nil, fmt.Errorf("%w: %s names no database", ErrDamaged, manifestName)
	}
	return &m, nil
}

func (f manifestFile) check() error {
	part, _, ok := strings.Cut(f.Path, "/")
	sum, err := hex.DecodeString(f.SHA256)
	switch {
	case !ok || part != dataPart && part != settingsPart, f.Path != path.Clean(f.Path), !filepath.IsLocal(filepath.FromSlash(f.Path)), strings.ContainsAny(f.Path, "\\\x00"):
		return fmt.Errorf("%w: %s names the file %q", ErrDamaged, manifestName, f.Path)
	case f.Size < 0, err != nil, len(sum) != sha256.Size:
		return fmt.Errorf("%w: %s: size or checksum of %q", ErrDamaged, manifestName, f.Path)
	}
	return nil
}

// readManifest reads the manifest of a backup after comparing its checksum.
func readManifest(dir string) (*manifest, error) {
	text, err := readBounded(filepath.Join(dir, manifestName), maxManifest)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s is not a backup: it has no %s", dir, manifestName)
	}
	if err != nil {
		return nil, err
	}
	want, err := readBounded(filepath.Join(dir, manifestSum), 4096)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if string(want) != sumLine(text) {
		return nil, fmt.Errorf("%w: %s does not have the checksum in %s", ErrDamaged, manifestName, manifestSum)
	}
	return parseManifest(text)
}

func sumLine(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]) + "  " + manifestName + "\n"
}

func readBounded(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	return text, err
}

// write writes the manifest and its checksum into dir, durably.
func (m *manifest) write(dir string) error {
	text, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if err := disk.WriteFile(filepath.Join(dir, manifestName), text, 0o600); err != nil {
		return err
	}
	return disk.WriteFile(filepath.Join(dir, manifestSum), []byte(sumLine(text)), 0o600)
}

// bytes is the size of all files.
func (m *manifest) bytes() (n int64) {
	for _, f := range m.Files {
		n += f.Size
	}
	return n
}

// compare reads every file below dir and calls wrong for each that is not as the
// manifest says. only leaves out the parts of the backup that it does not
// accept; it turns a path of the manifest into one below dir.
func (m *manifest) compare(ctx context.Context, dir string, only func(path string) (string, bool), wrong func(f manifestFile, why string)) error {
	buf := make([]byte, copyBuffer)
	for _, f := range m.Files {
		name, ok := only(f.Path)
		if !ok {
			continue
		}
		why, err := f.compare(ctx, filepath.Join(dir, filepath.FromSlash(name)), buf)
		if err != nil {
			return err
		}
		if why != "" {
			wrong(f, why)
		}
	}
	return nil
}

// compare says in what a file differs, "" if it does not.
func (f manifestFile) compare(ctx context.Context, name string, buf []byte) (why string, err error) {
	in, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return "is missing", nil
	}
	if err != nil {
		return "", err
	}
	defer in.Close()
	if info, err := in.Stat(); err != nil {
		return "", err
	} else if !info.Mode().IsRegular() {
		return "is not a file", nil
	} else if info.Size() != f.Size {
		return fmt.Sprintf("has %d bytes instead of %d", info.Size(), f.Size), nil
	}
	sum := sha256.New()
	n, err := copyContext(ctx, sum, in, buf)
	switch {
	case ctx.Err() != nil:
		return "", err
	case err != nil:
		return "cannot be read: " + err.Error(), nil
	case n != f.Size || hex.EncodeToString(sum.Sum(nil)) != f.SHA256:
		return "has other content than at the time of the backup", nil
	}
	return "", nil
}
