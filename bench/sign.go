package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// sign measures RSA-2048 signatures per second of one core: of Go's library,
// of what the server chose on this machine, and of OpenSSL, which most mail
// servers sign with.
type sign struct {
	target
	out string
}

func defineSign(f *flag.FlagSet) func(context.Context) error {
	var s sign
	s.target.define(f)
	f.StringVar(&s.out, "out", "", "file JSON lines are appended to")
	return func(ctx context.Context) error { return single(ctx, s.out, s.run) }
}

const kindSign = "sign"

func (s *sign) run(ctx context.Context, r *report) error {
	dir, remove, err := workDir("")
	if err != nil {
		return err
	}
	defer remove()
	binary, err := s.resolve(ctx, dir)
	if err != nil {
		return err
	}
	one, err := goSignatures(2 * time.Second)
	if err != nil {
		return err
	}
	if err := r.add(signed("Go crypto/rsa", one)); err != nil {
		return err
	}
	backend, own, err := bestSignatures(ctx, binary, dir)
	if err != nil {
		return err
	}
	if err := r.add(signed("Postroad, backend "+backend, own)); err != nil {
		return err
	}
	version, peer, err := opensslSignatures(ctx)
	if err != nil {
		return r.add(result{Kind: kindSign, System: "OpenSSL", Missed: err.Error()})
	}
	if err := r.add(signed(version, peer)); err != nil {
		return err
	}
	return r.add(result{Kind: kindSign, System: "Postroad / OpenSSL", Figures: []figure{{"ratio", own / peer, ""}}})
}

func signed(system string, perSecond float64) result {
	return result{Kind: kindSign, System: system, Figures: []figure{{"RSA-2048 signatures per core", perSecond, "/s"}}}
}

// goSignatures counts in processor time of its thread, as openssl speed does:
// what else runs on the machine does not show.
func goSignatures(least time.Duration) (float64, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return 0, err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	digest := sha256.Sum256([]byte("rig"))
	start, err := threadTime()
	if err != nil {
		return 0, err
	}
	for n := 1; ; n++ {
		if _, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:]); err != nil {
			return 0, err
		}
		now, err := threadTime()
		if err != nil {
			return 0, err
		}
		if now-start >= least {
			return float64(n) / (now - start).Seconds(), nil
		}
	}
}

// threadTime is the processor time of the calling thread.
func threadTime() (time.Duration, error) {
	const rusageThread = 1 // RUSAGE_THREAD of getrusage(2), Linux
	var u syscall.Rusage
	if err := syscall.Getrusage(rusageThread, &u); err != nil {
		return 0, err
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

var errDoctor = errors.New("postroad doctor says nothing of signing")

// bestSignatures asks three times and takes the highest: postroad doctor goes by
// the wall clock, so that other work on the machine lowers what it finds.
func bestSignatures(ctx context.Context, binary, dir string) (backend string, perSecond float64, err error) {
	for range 3 {
		name, rate, err := doctorSignatures(ctx, binary, dir)
		if err != nil {
			return "", 0, err
		}
		backend, perSecond = name, max(perSecond, rate)
	}
	return backend, perSecond, nil
}

func doctorSignatures(ctx context.Context, binary, dir string) (backend string, perSecond float64, err error) {
	// Checks that fail make its exit status, and here they may.
	out, err := exec.CommandContext(ctx, binary, "doctor", "--json", "--data", dir, "--http", "off").Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return "", 0, err
	}
	var doc struct {
		Checks []struct{ ID, Evidence string }
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		return "", 0, fmt.Errorf("postroad doctor: %w", err)
	}
	for _, c := range doc.Checks {
		if c.ID == "signing" {
			return parseSigning(c.Evidence)
		}
	}
	return "", 0, errDoctor
}

// parseSigning reads "RSA-2048: 1134 signatures/s on one of 2 cores (backend: Go)".
func parseSigning(evidence string) (backend string, perSecond float64, err error) {
	m := regexp.MustCompile(`([0-9.,]+) signatures/s.*backend:? ([^)]+)`).FindStringSubmatch(evidence)
	if m == nil {
		return "", 0, fmt.Errorf("%w: %q", errDoctor, evidence)
	}
	perSecond, err = strconv.ParseFloat(strings.ReplaceAll(m[1], ",", ""), 64)
	return m[2], perSecond, err
}

func opensslSignatures(ctx context.Context) (version string, perSecond float64, err error) {
	text, err := exec.CommandContext(ctx, "openssl", "version").Output()
	if err != nil {
		return "", 0, err
	}
	name, number, _ := strings.Cut(string(text), " ")
	number, _, _ = strings.Cut(number, " ")
	out, err := exec.CommandContext(ctx, "openssl", "speed", "-seconds", "2", "-mr", "rsa2048").Output()
	if err != nil {
		return "", 0, err
	}
	perSecond, err = parseSpeed(string(out))
	return name + " " + number, perSecond, err
}

// parseSpeed reads openssl's machine readable form, "+F2:n:bits:SIGN:VERIFY"
// with operations per second of processor time.
func parseSpeed(text string) (float64, error) {
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 5 || f[0] != "+F2" || f[2] != "2048" {
			continue
		}
		rate, err := strconv.ParseFloat(f[3], 64)
		if err != nil || rate < 1 {
			return 0, fmt.Errorf("openssl speed: %q: %w", line, errors.Join(err, strconv.ErrRange))
		}
		return rate, nil
	}
	return 0, errors.New("openssl speed printed no RSA-2048 line")
}
