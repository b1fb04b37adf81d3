package blob

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// errSharing is ERROR_SHARING_VIOLATION: another process has the file open.
const errSharing = syscall.Errno(32)

// lockFile opens the file without sharing, which the system ends with the process.
func lockFile(name string) (io.Closer, error) {
	f, err := openSharing(name, 0)
	if errors.Is(err, errSharing) {
		return nil, ErrLocked
	}
	return f, err
}

// guardFile opens the file without sharing, which fails while others hold it.
func guardFile(name string) (io.Closer, error) {
	f, err := openSharing(name, 0)
	if errors.Is(err, errSharing) {
		return nil, ErrHeld
	}
	return f, err
}

// holdFile opens the file together with others who hold it. While a deletion
// has it, which takes no longer than deleting a file, it fails.
func holdFile(name string) (io.Closer, error) {
	return openSharing(name, syscall.FILE_SHARE_READ|syscall.FILE_SHARE_WRITE)
}

func openSharing(name string, share uint32) (*os.File, error) {
	path, err := syscall.UTF16PtrFromString(name)
	if err != nil {
		return nil, err
	}
	h, err := syscall.CreateFile(path, syscall.GENERIC_READ|syscall.GENERIC_WRITE, share, nil,
		syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		return nil, &os.PathError{Op: "lock", Path: name, Err: err}
	}
	return os.NewFile(uintptr(h), name), nil
}
