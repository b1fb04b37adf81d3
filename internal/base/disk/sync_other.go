//go:build !linux

package disk

import "os"

// SyncData makes what was written to f durable, with the strongest sync Go offers
// (F_FULLFSYNC on macOS).
func SyncData(f *os.File) error { return f.Sync() }
