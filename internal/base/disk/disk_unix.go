//go:build unix

package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// Of returns the space of the file system that holds dir.
func Of(dir string) (Space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return Space{}, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	block := int64(st.Bsize)
	return Space{int64(st.Bavail) * block, int64(st.Blocks) * block, int64(st.Ffree), int64(st.Files)}, nil
}
