package blob

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"postroad/internal/base/disk"
)

// FS is what the store needs of a file system. The operating system's is the
// default; tests put one in its place that loses unsynced data or fails.
type FS interface {
	// MkdirAll makes a directory and its parents, durably.
	MkdirAll(dir string) error
	// List gives the entries of a directory.
	List(dir string) ([]fs.FileInfo, error)
	// Create makes a new file for reading and writing; one that exists is an error.
	Create(name string) (File, error)
	// Open opens a file, for writing too if write is set.
	Open(name string, write bool) (File, error)
	// Remove removes a file.
	Remove(name string) error
	// SyncDir makes the entries of a directory durable.
	SyncDir(dir string) error
	// Lock takes the exclusive lock on a file, creating it; ErrLocked if it is
	// held elsewhere. Closing gives it back.
	Lock(name string) (io.Closer, error)
	// Guard takes the lock that deleting needs, without waiting; ErrHeld if
	// someone has called Hold. Closing gives it back.
	Guard(name string) (io.Closer, error)
}

// File is an open segment file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Size is the length of the file in bytes.
	Size() (int64, error)
	// SyncData makes the written bytes and the file's length durable.
	SyncData() error
	// Truncate cuts the file to size bytes.
	Truncate(size int64) error
}

// osFS is the operating system's file system.
type osFS struct{}

type osFile struct{ *os.File }

func (osFS) MkdirAll(dir string) error { return disk.MkdirAll(dir, 0o700) }

func (osFS) List(dir string) ([]fs.FileInfo, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	infos := make([]fs.FileInfo, 0, len(entries))
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

func (osFS) Create(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) Open(name string, write bool) (File, error) {
	flag := os.O_RDONLY
	if write {
		flag = os.O_RDWR
	}
	f, err := os.OpenFile(name, flag, 0)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) Remove(name string) error { return os.Remove(name) }

func (osFS) SyncDir(dir string) error { return disk.SyncDir(dir) }

func (osFS) Lock(name string) (io.Closer, error) { return lockFile(name) }

func (osFS) Guard(name string) (io.Closer, error) { return guardFile(name) }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f osFile) SyncData() error { return disk.SyncData(f.File) }

// typed gives a full disk or quota its own error kind.
func typed(doing string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %s: %w", ErrNoSpace, doing, err)
	}
	return fmt.Errorf("blob: %s: %w", doing, err)
}
