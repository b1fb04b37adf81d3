package blob

import (
	"errors"
	"os"
	"syscall"
)

// syncData uses fdatasync: it writes the file's length when that has changed,
// but not its times, which saves a journal write.
func syncData(f *os.File) error {
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
