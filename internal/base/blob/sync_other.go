//go:build !linux

package blob

import "os"

// syncData uses the strongest sync Go offers (F_FULLFSYNC on macOS).
func syncData(f *os.File) error { return f.Sync() }
