package blob

import (
	"fmt"
	"io"
	"path/filepath"
)

// holdName is the file whose lock is between those who read a directory from
// outside and the store that deletes.
const holdName = "retain"

// Hold keeps the store in dir, of whatever process, from deleting segments until
// the result is closed or this process ends. Several may hold at a time.
func Hold(dir string) (io.Closer, error) {
	h, err := holdFile(filepath.Join(dir, holdName))
	if err != nil {
		return nil, fmt.Errorf("blob: hold %s: %w", dir, err)
	}
	return h, nil
}
