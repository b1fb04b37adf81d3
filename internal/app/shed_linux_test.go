package app

import (
	"context"
	"log/slog"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postroad/internal/config"
)

// TestMemoryForReal: a program with a limit, its memory read from the kernel,
// refuses mail when the process really takes too much, and takes it again when
// that memory is given back.
func TestMemoryForReal(t *testing.T) {
	const ballast = 256 << 20
	now, err := machine{"/"}.used()
	if err != nil {
		t.Fatal(err)
	}
	limit := now + ballast // with the ballast, and what else a program takes, above 90 %
	cfg, _, _, err := config.Parse(config.Dev, []string{"--data", t.TempDir(), "--http", "127.0.0.1:0", "--https", "off", "--smtp", "127.0.0.1:0",
		"--memory-limit", strconv.FormatInt(limit, 10)}, nil, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(t.Context(), cfg, Options{Version: "test", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- a.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	b := &shedBed{a, t, nil}
	until := func(status int) {
		t.Helper()
		late, look := time.NewTimer(time.Minute), time.NewTicker(50*time.Millisecond)
		defer late.Stop()
		defer look.Stop()
		for {
			got, _, body := b.post()
			if got == status {
				return
			}
			select {
			case <-look.C:
			case <-late.C:
				t.Fatalf("still %d, want %d: %s", got, status, body)
			}
		}
	}
	until(200)
	taken, err := unix.Mmap(-1, 0, ballast, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(taken); i += os.Getpagesize() {
		taken[i] = 1
	}
	until(503)
	if err := unix.Munmap(taken); err != nil {
		t.Fatal(err)
	}
	until(200)
}
