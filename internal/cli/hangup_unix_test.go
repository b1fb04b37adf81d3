//go:build unix

package cli

import (
	"os"
	"syscall"
	"testing"
	"time"
)

func TestOnHangup(t *testing.T) {
	called := make(chan struct{}, 1)
	defer onHangup(func() { called <- struct{}{} })()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	select {
	case <-called:
	case <-time.After(10 * time.Second):
		t.Error("SIGHUP was not heard")
	}
}
