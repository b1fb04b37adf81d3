//go:build !windows

package blob

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// lockFile takes an flock, which the kernel gives back when the process dies.
func lockFile(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f, nil
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrLocked
	}
	return nil, errors.Join(err, f.Close())
}

// guardFile takes the flock that holdFile shares.
func guardFile(name string) (io.Closer, error) {
	f, err := lockFile(name)
	if errors.Is(err, ErrLocked) {
		err = ErrHeld
	}
	return f, err
}

// holdFile shares an flock, waiting for a deletion under way. The server's file
// must stay the server's: made by root, it gets the directory's owner.
func holdFile(name string) (io.Closer, error) {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		f, err = makeHoldFile(name)
	}
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH)
		if err == nil {
			return f, nil
		}
		if err != syscall.EINTR {
			return nil, errors.Join(&os.PathError{Op: "flock", Path: name, Err: err}, f.Close())
		}
	}
}

func makeHoldFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil || os.Geteuid() != 0 {
		return f, err
	}
	var st syscall.Stat_t
	if err = syscall.Stat(filepath.Dir(name), &st); err == nil {
		err = f.Chown(int(st.Uid), int(st.Gid))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
