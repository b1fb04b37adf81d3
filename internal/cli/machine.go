package cli

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"postroad/internal/base/rsasign"
	"postroad/internal/mail/dkim"
)

const serverTimeout = 5 * time.Second

// checkServer asks whether the server takes mail, and says what it lacks.
func (p *probe) checkServer(ctx context.Context) finding {
	body, status, _, err := p.ready(ctx)
	start := "start it: postroad " + p.cfg.Mode.String()
	if err != nil {
		f := asFailure(err)
		if p.client.local() && f.hint == "postroad dev" || f.hint == "postroad doctor --url "+p.client.base {
			f.hint = start
		}
		return broken(f.hint, "%s: %s", p.client.base, f.cause)
	}
	var doc struct {
		Status string
		Checks map[string]string
	}
	if json.Unmarshal(body, &doc) != nil || doc.Status == "" {
		return broken("give the address of the server with --url", "%s answers with %s, but is not Postroad", p.client.base, statusText(status))
	}
	if status != http.StatusOK {
		var reasons []string
		for name, text := range doc.Checks {
			if text != "ok" {
				reasons = append(reasons, name+": "+text)
			}
		}
		slices.Sort(reasons)
		return broken("see the log of the server", "%s is up, but %s: %s", p.client.base, doc.Status, strings.Join(reasons, ", "))
	}
	return good("%s is %s", p.client.base, doc.Status)
}

// ready fetches /readyz, with the time the server thinks it is.
func (p *probe) ready(ctx context.Context) (body []byte, status int, at time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, serverTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.client.base+"/readyz", nil)
	if err != nil {
		return nil, 0, at, err
	}
	res, err := p.client.http.Do(req)
	if err != nil {
		return nil, 0, at, p.client.unreachable(err)
	}
	defer res.Body.Close()
	if body, err = io.ReadAll(io.LimitReader(res.Body, 64<<10)); err != nil {
		return nil, 0, at, p.client.unreachable(err)
	}
	if at, err = http.ParseTime(res.Header.Get("Date")); err != nil {
		at = time.Time{} // a server need not say
	}
	return body, res.StatusCode, at, nil
}

func (p *probe) checkKey(ctx context.Context) finding {
	if !p.hasKey {
		return skipped("no key given: --key KEY or %s", envKey)
	}
	ctx, cancel := context.WithTimeout(ctx, serverTimeout)
	defer cancel()
	var list struct {
		Items []messageItem `json:"items"`
	}
	_, err := p.client.get(ctx, messagesPath+"?limit=1", &list)
	f := asFailureOrNil(err)
	switch {
	case f == nil:
		return good("it may read messages")
	case f.code == "unreachable":
		return skipped("the server does not answer")
	case f.code == "unauthorized":
		return broken("make a key in the panel, or give another with --key", "%s: %s", p.client.base, f.cause)
	case f.code == "http_403":
		return good("the server knows it; it may not read messages")
	}
	return broken(f.hint, "%s", f.Error())
}

func asFailureOrNil(err error) *failure {
	if err == nil {
		return nil
	}
	return asFailure(err)
}

// checkHostname looks at the name that is said in HELO (RFC 5321, section
// 4.1.4), which receivers hold against the sender.
func (p *probe) checkHostname(ctx context.Context) finding {
	name, fix := p.cfg.Hostname, "--hostname mail.YOUR-DOMAIN, a name whose address record leads to this machine"
	switch {
	case p.captures():
		return skipped(captureNote)
	case badHostname(name) != "":
		return broken(fix, "%s: %s", name, badHostname(name))
	}
	v4, v6, err := p.resolver.Addrs(ctx, name)
	if err != nil {
		return warned("add an address record for "+name, "%s", shortReason(err))
	}
	return good("%s has the address %s", name, append(v4, v6...)[0])
}

// badHostname says why a name will not do, "" if it does.
func badHostname(name string) string {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if _, err := netip.ParseAddr(name); err == nil {
		return "an address is not a name"
	}
	_, last, ok := cutLast(name, ".")
	switch {
	case name == "localhost" || strings.HasPrefix(name, "localhost."):
		return "receivers refuse it"
	case !ok:
		return "it is not a full name with a domain"
	case slices.Contains([]string{"local", "localhost", "localdomain", "internal", "lan", "home", "test", "example", "invalid", "arpa"}, last):
		return "." + last + " does not exist on the Internet"
	}
	return ""
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// earliest is before this program was made: no right clock shows less.
const earliest = 1767225600 // 2026-01-01

// checkClock compares the clock with all that is known about the time: this
// program's age, files already written, another machine's clock, the kernel.
// Signatures carry the time, and retries follow it.
func (p *probe) checkClock(ctx context.Context) finding {
	const fix = "set the clock and keep it right: timedatectl set-ntp true"
	now := p.e.clock().Now()
	shown := now.UTC().Format("2006-01-02 15:04:05 UTC")
	if now.Unix() < earliest || now.Year() > 2100 {
		return broken(fix, "it shows %s", shown)
	}
	if name, at := newestFile(p.cfg.Data); at.After(now.Add(time.Minute)) {
		return broken(fix, "it shows %s, but %s was written at %s", shown, name, at.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	if !p.client.local() {
		if _, _, at, err := p.ready(ctx); err == nil && !at.IsZero() {
			if d := p.e.clock().Now().Sub(at).Abs(); d > 5*time.Second {
				return broken(fix, "it is %s off that of %s", span(d), p.client.base)
			}
		}
	}
	synced, known := p.synced()
	switch {
	case !known:
		return good("it shows %s; whether a time service keeps it is not known", shown)
	case !synced:
		return warned(fix, "it shows %s; the kernel says that no time service keeps it", shown)
	}
	return good("it shows %s; a time service keeps it", shown)
}

// newestFile looks at the files directly in dir.
func newestFile(dir string) (name string, at time.Time) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", at // judged by checkData
	}
	for _, entry := range entries {
		if fi, err := entry.Info(); err == nil && fi.ModTime().After(at) {
			name, at = filepath.Join(dir, entry.Name()), fi.ModTime()
		}
	}
	return name, at
}

const (
	leastSpace = 256 << 20 // the server takes no mail below
	fewSpace   = 2 << 30
)

func (p *probe) checkDisk(context.Context) finding {
	dir := existing(p.cfg.Data)
	s, err := p.disk(dir)
	fix := "make room in " + dir + ", or shorten --retention"
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return skipped("cannot be found out on this system")
	case err != nil:
		return broken("check --data", "%v", err)
	case s.Free < leastSpace:
		return broken(fix, "%s free of %s in %s; below %s no mail is taken", bytesText(s.Free), bytesText(s.Total), dir, bytesText(leastSpace))
	case s.Files > 0 && s.FreeFiles < 1000:
		return broken(fix, "room for %d more files only in %s (inodes)", s.FreeFiles, dir)
	case s.Free < fewSpace:
		return warned(fix, "%s free of %s in %s", bytesText(s.Free), bytesText(s.Total), dir)
	}
	return good("%s free of %s in %s", bytesText(s.Free), bytesText(s.Total), dir)
}

// existing is dir or the nearest directory above it that exists.
func existing(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	for {
		_, err := os.Stat(dir)
		up := filepath.Dir(dir)
		if err == nil || !errors.Is(err, fs.ErrNotExist) || up == dir {
			return dir
		}
		dir = up
	}
}

// checkData makes sure that nobody else can read mail and keys.
func (p *probe) checkData(context.Context) finding {
	dir := p.cfg.Data
	fi, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return skipped("%s is not there yet: the first start makes it", dir)
	case err != nil:
		return broken("run this as the user of the server", "%v", err)
	case !fi.IsDir():
		return broken("check --data", "%s is not a directory", dir)
	case runtime.GOOS == "windows":
		return skipped("permissions are not looked at on this system")
	case fi.Mode().Perm()&0o077 != 0:
		return broken("chmod 700 "+dir, "%s has permissions %04o: others can get in", dir, fi.Mode().Perm())
	}
	if uid, ok := ownerOf(fi); ok && uid != os.Geteuid() && os.Geteuid() != 0 {
		return warned("run this as the user of the server", "%s belongs to user %d, this is user %d", dir, uid, os.Geteuid())
	}
	secret := filepath.Join(dir, "secret")
	fi, err = os.Stat(secret)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return good("%s has permissions 0700; no secret in it yet", dir)
	case err != nil:
		return broken("run this as the user of the server", "%v", err)
	case fi.Mode().Perm()&0o177 != 0:
		return broken("chmod 600 "+secret, "%s, which seals all keys, has permissions %04o", secret, fi.Mode().Perm())
	}
	return good("%s is for its owner only, and so is the secret in it", dir)
}

func (p *probe) checkSettings(context.Context) finding {
	if len(p.warnings) > 0 {
		return warned("correct the names", "%s", strings.Join(p.warnings, "; "))
	}
	set := 0
	for _, s := range p.cfg.Settings() {
		if s.Origin != "default" {
			set++
		}
	}
	from := "no settings file"
	if p.cfg.File != "" {
		from = "file " + p.cfg.File
	}
	return good("%d set, the others as they come; %s", set, from)
}

func (p *probe) checkInsecure(context.Context) finding {
	var risks, names []string
	for _, s := range p.cfg.Settings() {
		if s.Insecure {
			risks = append(risks, s.Name+": "+s.Risk)
			names = append(names, "--no-"+strings.ReplaceAll(s.Name, "_", "-"))
		}
	}
	switch {
	case len(risks) == 0:
		return good("no insecure setting is on")
	case p.captures():
		return good("on as is usual in capture mode: %s", strings.Join(risks, "; "))
	}
	return warned(strings.Join(names, " "), "%s", strings.Join(risks, "; "))
}

// signatures is how many are made to measure their speed; below slowSigning in a
// second they would hold deliveries up.
const (
	signatures  = 64
	slowSigning = 100
)

// checkSigning measures what every message costs: one RSA signature.
func (p *probe) checkSigning(ctx context.Context) finding {
	key, err := dkim.GenerateRSA(2048)
	if err != nil {
		return broken("", "%v", err)
	}
	signer := rsasign.New(key)
	if p.cfg.RSA == "go" {
		if signer, err = rsasign.NewWith(key, rsasign.Go); err != nil {
			return broken("", "%v", err)
		}
	}
	digest := sha256.Sum256([]byte("postroad"))
	began, n := p.e.clock().Now(), 0
	for n < signatures && ctx.Err() == nil {
		if _, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
			return broken("", "%v", err)
		}
		n++
	}
	took := max(p.e.clock().Now().Sub(began), time.Microsecond)
	rate := int(float64(n) / took.Seconds())
	text := fmt.Sprintf("RSA-2048: %d signatures/s on one of %s (backend: %s)", rate, count(runtime.NumCPU(), "core", "cores"), signer.Backend())
	if rate < slowSigning {
		return warned("give the machine more or faster cores", "%s", text)
	}
	return good("%s", text)
}
