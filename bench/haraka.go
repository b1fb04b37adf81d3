package main

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
)

// The versions that are measured. package-lock.json names those of everything
// Haraka stands on.
var (
	//go:embed haraka/package.json
	harakaPackage []byte
	//go:embed haraka/package-lock.json
	harakaLock []byte
	//go:embed haraka/rig.js
	harakaRig []byte
)

// harakaDir is where this lock file's modules are, or will be.
func harakaDir() (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append(harakaPackage[:len(harakaPackage):len(harakaPackage)], harakaLock...))
	return filepath.Join(cache, fmt.Sprintf("haraka-%x", sum[:8])), nil
}

// findHaraka installs it into the cache unless it is there.
func findHaraka(ctx context.Context) error {
	for _, name := range []string{"node", "npm", "smtp-source", "smtp-sink"} {
		if _, err := exec.LookPath(name); err != nil {
			return err
		}
	}
	dir, err := harakaDir()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules/Haraka/bin/haraka")); err == nil {
		return nil
	}
	return installHaraka(ctx, dir)
}

func installHaraka(ctx context.Context, dir string) error {
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "haraka-new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	if err := errors.Join(os.Chmod(fresh, 0o755),
		os.WriteFile(filepath.Join(fresh, "package.json"), harakaPackage, 0o644),
		os.WriteFile(filepath.Join(fresh, "package-lock.json"), harakaLock, 0o644)); err != nil {
		return err
	}
	// No scripts: what they would compile (iconv) Haraka does without.
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund")
	cmd.Dir = fresh
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w: %s", err, text)
	}
	return os.Rename(fresh, dir)
}

// haraka runs two workers, one per processor of the machines the published
// figures come from. Mail goes to the outbound queue on disk, as it would to
// the world, with its route fixed by a plugin in place of a look-up of the MX.
type haraka struct{ daemon }

const (
	harakaSMTP = "listen=%s\nnodes=2\n"
	// A worker takes up to this many deliveries at a time. 128 is what the other
	// systems have; Haraka opens a connection for each delivery.
	harakaOutbound = "concurrency_max=128\nenable_tls=false\ntemp_fail_intervals=5s*100\n"
	harakaDKIM     = "[sign]\nenabled=true\nselector=rig\ndomain=" + sender +
		"\nheaders=From, Sender, Reply-To, Subject, Date, Message-ID, To, Cc, MIME-Version\n[canon]\nbody=relaxed\n[verify]\nenabled=false\n"
)

func (h *haraka) start(ctx context.Context, at place) error {
	listen, err := freeAddr()
	if err != nil {
		return err
	}
	h.listen = listen
	modules, err := harakaDir()
	if err != nil {
		return err
	}
	program := filepath.Join(modules, "node_modules/Haraka")
	if err := h.configure(at, program); err != nil {
		return err
	}
	return h.run(ctx, at, at.group.command("", "node", filepath.Join(program, "bin/haraka"), "-c", at.dir))
}

func (h *haraka) configure(at place, program string) error {
	host, port, err := net.SplitHostPort(at.relay)
	if err != nil {
		return err
	}
	// Haraka does not run without the stock form of this file.
	connection, err := os.ReadFile(filepath.Join(program, "config/connection.ini"))
	if err != nil {
		return err
	}
	config := map[string]string{"smtp.ini": fmt.Sprintf(harakaSMTP, h.listen), "outbound.ini": harakaOutbound, "plugins": "rig\n",
		"rig.relay": host + " " + port + "\n", "me": "mx.example.com\n", "connection.ini": string(connection), "log.ini": "[main]\nlevel=warn\n"}
	if at.sign {
		key, err := signingKey()
		if err != nil {
			return err
		}
		config["plugins"] += "dkim\n"
		config["dkim.ini"] = harakaDKIM
		config["dkim.private.key"] = string(key)
	}
	for _, sub := range []string{"config", "plugins", "queue"} {
		if err := os.Mkdir(filepath.Join(at.dir, sub), 0o755); err != nil {
			return err
		}
	}
	for name, text := range config {
		if err := os.WriteFile(filepath.Join(at.dir, "config", name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(at.dir, "plugins", "rig.js"), harakaRig, 0o644)
}
