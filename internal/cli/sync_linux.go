package cli

import "golang.org/x/sys/unix"

// clockSynced reports whether the kernel takes the clock for synchronised
// (adjtimex(2): STA_UNSYNC is cleared by a time daemon).
func clockSynced() (synced, known bool) {
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		return false, false
	}
	return t.Status&unix.STA_UNSYNC == 0, true
}
