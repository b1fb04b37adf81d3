package disk

import (
	"errors"
	"os"
	"syscall"
)

// SyncData makes what was written to f durable. It uses fdatasync: it writes the
// file's length when that has changed, but not its times, which saves a journal
// write.
func SyncData(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = syscall.Fdatasync(int(fd))
		for failed == syscall.EINTR {
			failed = syscall.Fdatasync(int(fd))
		}
	})
	if failed = errors.Join(err, failed); failed != nil {
		return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: failed}
	}
	return nil
}
