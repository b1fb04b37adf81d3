//go:build unix

package disk

import (
	"os"
	"syscall"
)

// OwnAs gives a file the user and group that info has.
func OwnAs(path string, info os.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return os.Lchown(path, int(st.Uid), int(st.Gid))
}
