package app

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"postroad/internal/config"
)

// TestDefaultListenerLeftOut: what nobody asked for by name must not keep the
// program from starting; what somebody asked for must.
func TestDefaultListenerLeftOut(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	at := config.Listen(taken.Addr().String())
	for _, c := range []struct {
		name    string
		mode    config.Mode
		args    []string
		leftOut bool
	}{
		{"default", config.Serve, nil, true},
		{"given", config.Serve, []string{"--smtp=" + string(at)}, false},
		{"dev", config.Dev, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, _, _, err := config.Parse(c.mode, append(c.args, "--data", t.TempDir()), nil, os.ReadFile)
			if err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			a := &App{cfg: cfg, log: slog.New(slog.NewTextHandler(&log, nil))}
			l, err := a.listenOr("smtp", at)
			switch {
			case l != nil:
				t.Error("a taken port was opened")
			case c.leftOut && (err != nil || !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), string(at)) || !strings.Contains(log.String(), "stop the program")):
				t.Errorf("%v, log %q", err, log.String())
			case !c.leftOut && (!errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "--smtp "+string(at))):
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestBindFix(t *testing.T) {
	for err, want := range map[error]string{syscall.EACCES: "CAP_NET_BIND_SERVICE", syscall.EADDRINUSE: "stop the program", syscall.EADDRNOTAVAIL: "of this machine", errors.New("x"): "another address"} {
		if got := BindFix(fmt.Errorf("listen: %w", err)); !strings.Contains(got, want) {
			t.Errorf("%v: %q", err, got)
		}
	}
}

func TestSubmitAddress(t *testing.T) {
	for list, want := range map[string]string{"--smtp=:25,:465,:587": "mx.test:587", "--smtp=:26": "mx.test:26", "--smtp=off": ""} {
		cfg, _, _, err := config.Parse(config.Serve, []string{list, "--hostname=mx.test"}, nil, func(string) ([]byte, error) { return nil, os.ErrNotExist })
		if err != nil {
			t.Fatal(err)
		}
		if got := (&App{cfg: cfg}).submitAddress(); got != want {
			t.Errorf("%s: %q", list, got)
		}
	}
}
