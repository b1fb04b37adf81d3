package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Debian lets only one mail server be installed. The others are unpacked from
// their packages into a directory with the libraries they need, and run with
// it as their root: every path compiled into them is theirs alone, and the
// machine keeps its users, files and mail server as they are.

// cacheDir is where downloaded programs are kept between runs.
func cacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(base, "postroad-bench")
	return dir, os.MkdirAll(dir, 0o755)
}

// fetchPackages downloads Debian packages that are not in the cache yet and
// returns the paths of all.
func fetchPackages(ctx context.Context, names ...string) ([]string, error) {
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, name := range names {
		pattern := filepath.Join(cache, name+"_*.deb")
		have, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		if len(have) == 0 {
			// As root apt warns that it downloads without its sandbox: the
			// directory is not one its own user may write to.
			cmd := exec.CommandContext(ctx, "apt-get", "download", "-q", name)
			cmd.Dir = cache
			if text, err := cmd.CombinedOutput(); err != nil {
				return nil, fmt.Errorf("apt-get download %s: %w: %s", name, err, lastLine(text))
			}
			if have, err = filepath.Glob(pattern); err != nil || len(have) == 0 {
				return nil, fmt.Errorf("apt-get download %s left no file: %w", name, errors.Join(err, os.ErrNotExist))
			}
		}
		out = append(out, have[len(have)-1])
	}
	return out, nil
}

func lastLine(text []byte) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

// account is a user, and a group of the same name and number, inside of a
// root directory.
type account struct {
	name string
	id   int
}

// makeRoot unpacks packages into root and adds what their programs need: the
// libraries, devices, accounts, and names resolved from files only.
func makeRoot(ctx context.Context, root string, packages, programs []string, accounts ...account) error {
	if os.Geteuid() != 0 {
		return errors.New("it takes root")
	}
	files, err := fetchPackages(ctx, packages...)
	if err != nil {
		return err
	}
	for _, file := range files {
		if text, err := exec.CommandContext(ctx, "dpkg-deb", "-x", file, root).CombinedOutput(); err != nil {
			return fmt.Errorf("dpkg-deb -x %s: %w: %s", file, err, lastLine(text))
		}
	}
	for _, program := range programs {
		if err := copyLibraries(ctx, root, program); err != nil {
			return err
		}
	}
	return errors.Join(makeDevices(root), writeEtc(root, accounts))
}

// copyLibraries puts the machine's libraries that a program is linked with
// into root, at the same paths, unless a package brought them.
func copyLibraries(ctx context.Context, root, program string) error {
	cmd := exec.CommandContext(ctx, "ldd", filepath.Join(root, program))
	own, err := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu*"))
	if err != nil {
		return err
	}
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(own, ":"))
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("ldd %s: %w", program, err)
	}
	for line := range strings.Lines(string(text)) {
		path, err := library(line)
		if err != nil {
			return err
		}
		if path == "" || strings.HasPrefix(path, root) {
			continue
		}
		if err := copyFile(path, filepath.Join(root, path)); err != nil {
			return err
		}
	}
	return nil
}

// library reads a line of ldd; "" if it names no file.
func library(line string) (string, error) {
	if strings.Contains(line, "not found") {
		return "", fmt.Errorf("a library is missing: %s", strings.TrimSpace(line))
	}
	_, after, ok := strings.Cut(line, "=>")
	if !ok {
		after = line // the loader, or what the kernel provides
	}
	path, _, _ := strings.Cut(strings.TrimSpace(after), " (")
	if !strings.HasPrefix(path, "/") {
		return "", nil
	}
	return path, nil
}

// copyFile copies a file unless it is there.
func copyFile(from, to string) error {
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func makeDevices(root string) error {
	dev := filepath.Join(root, "dev")
	if err := os.MkdirAll(dev, 0o755); err != nil {
		return err
	}
	for name, minor := range map[string]int{"null": 3, "zero": 5, "random": 8, "urandom": 9} {
		path := filepath.Join(dev, name)
		if err := syscall.Mknod(path, syscall.S_IFCHR|0o666, 1<<8|minor); err != nil {
			return fmt.Errorf("mknod %s: %w", name, err)
		}
		if err := os.Chmod(path, 0o666); err != nil {
			return err
		}
	}
	return nil
}

func writeEtc(root string, accounts []account) error {
	passwd, groups := "root:x:0:0:root:/:/bin/false\n", "root:x:0:\n"
	for _, a := range accounts {
		passwd += fmt.Sprintf("%s:x:%d:%d::/nonexistent:/bin/false\n", a.name, a.id, a.id)
		groups += fmt.Sprintf("%s:x:%d:\n", a.name, a.id)
	}
	etc := map[string]string{"passwd": passwd, "group": groups, "hosts": "127.0.0.1 localhost mx.example.com\n",
		"resolv.conf": "lookup file\nnameserver 127.0.0.1\n", "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n"}
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		return err
	}
	for name, text := range etc {
		if err := os.WriteFile(filepath.Join(root, "etc", name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// makeDirs makes directories below root that belong to an account.
func makeDirs(root string, a account, mode os.FileMode, names ...string) error {
	for _, name := range names {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
		if err := errors.Join(os.Chown(path, a.id, a.id), os.Chmod(path, mode)); err != nil {
			return err
		}
	}
	return nil
}
