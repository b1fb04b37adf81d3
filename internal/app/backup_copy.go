package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"postroad/internal/base/disk"
)

const copyBuffer = 1 << 20

// copyContext is io.CopyBuffer that ends with ctx.
func copyContext(ctx context.Context, to io.Writer, from io.Reader, buf []byte) (n int64, err error) {
	for {
		if err := ctx.Err(); err != nil {
			return n, context.Cause(ctx)
		}
		got, rerr := from.Read(buf)
		if got > 0 {
			if _, err := to.Write(buf[:got]); err != nil {
				return n, err
			}
			n += int64(got)
		}
		if errors.Is(rerr, io.EOF) {
			return n, nil
		}
		if rerr != nil {
			return n, rerr
		}
	}
}

// copier copies files into a directory and notes what it wrote.
type copier struct {
	dir   string // the backup, or the directory being restored
	buf   []byte
	files []manifestFile
}

func newCopier(dir string) *copier { return &copier{dir: dir, buf: make([]byte, copyBuffer)} }

// copy writes the first limit bytes of a file, all for -1, to the new file path
// below the copier's directory and makes it durable; the directory entry is not
// yet. An error satisfies os.ErrNotExist if from does not exist.
func (c *copier) copy(ctx context.Context, from, path string, limit int64) (manifestFile, error) {
	in, err := os.Open(from)
	if err != nil {
		return manifestFile{}, err
	}
	defer in.Close()
	if info, err := in.Stat(); err != nil {
		return manifestFile{}, err
	} else if !info.Mode().IsRegular() {
		return manifestFile{}, fmt.Errorf("%s is not a file", from)
	}
	to := filepath.Join(c.dir, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return manifestFile{}, noSource(err)
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return manifestFile{}, noSource(err)
	}
	sum := sha256.New()
	var src io.Reader = in
	if limit >= 0 {
		src = io.LimitReader(in, limit)
	}
	n, err := copyContext(ctx, io.MultiWriter(out, sum), src, c.buf)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return manifestFile{}, fmt.Errorf("copying %s: %w", from, err)
	}
	f := manifestFile{Path: path, Size: n, SHA256: hex.EncodeToString(sum.Sum(nil))}
	c.files = append(c.files, f)
	return f, nil
}

// noSource keeps a missing target from looking like a missing source.
func noSource(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New(err.Error())
	}
	return err
}

// adopt notes a file that something else has written below the directory.
func (c *copier) adopt(ctx context.Context, path string) error {
	f, err := os.Open(filepath.Join(c.dir, filepath.FromSlash(path)))
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := copyContext(ctx, sum, f, c.buf)
	if err != nil {
		return err
	}
	c.files = append(c.files, manifestFile{Path: path, Size: n, SHA256: hex.EncodeToString(sum.Sum(nil))})
	return nil
}

// syncTree makes the entries of a directory and those below it durable.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		return disk.SyncDir(path)
	})
}

// enoughRoom refuses to begin what cannot be finished.
func enoughRoom(dir string, need int64) error {
	s, err := disk.Of(dir)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return err
	}
	if s.Free < need {
		return fmt.Errorf("not enough room in %s: %d MB are free, %d MB are needed", dir, s.Free>>20, need>>20+1)
	}
	return nil
}
