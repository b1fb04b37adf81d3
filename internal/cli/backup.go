package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"postroad/internal/app"
	"postroad/internal/config"
)

// backupFlags are the options of backup, restore and verify beside the settings.
type backupFlags struct{ json, filesOnly, quick bool }

func settingsNote(verb string) string {
	return "The settings say where the data directory is; give those of postroad serve (the default)\n" +
		"or postroad dev, as in: postroad " + verb + " dev ...\n"
}

func backupCommand() command {
	define := func() (*backupFlags, *flagSet) {
		o, f := &backupFlags{}, newFlags()
		f.on(&o.filesOnly, "files-only", "with PostgreSQL: back up what is not in the database")
		f.on(&o.quick, "quick", "do not check the copy")
		f.on(&o.json, "json", "print JSON, also on a terminal")
		return o, f
	}
	return command{name: "backup", summary: "copy database, messages and secret into a new directory", args: []string{"[dev|serve] DIR [options] [settings]"},
		notes: "The server may run or not. DIR must not exist or be empty; it appears when the backup is\n" +
			"complete. It holds the secret that opens all keys: keep it as safe as the server.\n" +
			"With PostgreSQL first run pg_dump, then this with --files-only.\n" + settingsNote("backup") +
			"Exit status 1 also when the backup was made, but what it copied is damaged.\n",
		examples: []string{"backup /var/backups/postroad-$(date +%F)", "backup dev ./saved", "backup --data /srv/postroad --quick /mnt/backup/postroad"},
		options:  func() *flagSet { _, f := define(); return f },
		run: func(e *Env, args []string) error {
			o, f := define()
			return runBackup(e, o, f, args)
		}}
}

func restoreCommand() command {
	define := func() (*backupFlags, *flagSet) {
		o, f := &backupFlags{}, newFlags()
		f.on(&o.json, "json", "print JSON, also on a terminal")
		return o, f
	}
	return command{name: "restore", summary: "make a data directory of a backup", args: []string{"[dev|serve] BACKUP [options] [settings]"},
		notes: "The data directory must not exist or be empty. Every file is compared with the backup's\n" +
			"manifest before and after. A settings file that lay outside the data directory is not put back.\n" +
			"With PostgreSQL restore the database first (pg_restore), then this.\n" + settingsNote("restore"),
		examples: []string{"restore /var/backups/postroad-2026-11-20", "restore --data /srv/new /mnt/backup/postroad"},
		options:  func() *flagSet { _, f := define(); return f },
		run: func(e *Env, args []string) error {
			o, f := define()
			return runRestore(e, o, f, args)
		}}
}

func verifyCommand() command {
	define := func() (*backupFlags, *flagSet) {
		o, f := &backupFlags{}, newFlags()
		f.on(&o.json, "json", "print JSON, also on a terminal")
		return o, f
	}
	return command{name: "verify", summary: "check a backup or the data directory for damage", args: []string{"[dev|serve] [DIR] [options] [settings]"},
		notes: "Reads everything: files against the manifest, the database, every stored message, and that\n" +
			"every message has its body. DIR is a backup or a data directory (default: the one of the\n" +
			"settings); the server may run. Exit status 1 when there is damage.\n" + settingsNote("verify"),
		examples: []string{"verify", "verify /var/backups/postroad-2026-11-20", "verify --json | jq '.damage[]'"},
		options:  func() *flagSet { _, f := define(); return f },
		run: func(e *Env, args []string) error {
			o, f := define()
			return runVerify(e, o, f, args)
		}}
}

// backupArgs reads options and settings, and at most one directory.
func backupArgs(e *Env, o *backupFlags, f *flagSet, args []string, what string) (cfg *config.Config, dir string, err error) {
	for _, s := range (&config.Config{}).Settings() {
		name := "--" + strings.ReplaceAll(s.Name, "_", "-")
		f.others = append(f.others, name, strings.Replace(name, "--", "--no-", 1))
	}
	rest, err := f.parse(args)
	e.json = o.json
	if err != nil {
		return nil, "", err
	}
	mode, rest := modeOf(rest)
	cfg, rest, warnings, err := config.Parse(mode, rest, serverEnviron(e.Environ), os.ReadFile)
	if err != nil {
		return nil, "", badSettings(err, mode)
	}
	for _, w := range warnings {
		fmt.Fprintln(e.Stderr, "warning:", w)
	}
	switch {
	case len(rest) > 1:
		return nil, "", usage("unexpected argument %q", clean(rest[1]))
	case len(rest) == 1 && rest[0] != "":
		return cfg, rest[0], nil
	case what != "":
		return nil, "", usage("give %s", what)
	}
	return cfg, "", nil
}

// interruptible ends with an interrupt, so that what was begun is cleaned up.
func interruptible() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}

func runBackup(e *Env, o *backupFlags, f *flagSet, args []string) error {
	cfg, dir, err := backupArgs(e, o, f, args, "the directory to make")
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	b, err := app.Back(ctx, app.BackupOptions{Config: cfg, To: dir, FilesOnly: o.filesOnly, Quick: o.quick, Version: e.Version, Clock: e.clock()})
	if err != nil {
		return backupFailed("there is no backup", err)
	}
	if o.json || !e.terminal().Stdout {
		err = printJSON(e.Stdout, b)
	} else {
		err = printBackup(e.Stdout, b)
	}
	if err == nil && b.Check != nil && !b.Check.OK {
		err = failed("the backup was made, but what it copied is damaged").try("postroad verify " + dir)
	}
	return err
}

func printBackup(w io.Writer, b *app.Backup) error {
	_, err := fmt.Fprintf(w, "%s: %s, %s in %.1f s\n", clean(b.Directory), count(b.Files, "file", "files"), bytesText(b.Bytes), b.Seconds)
	if err == nil && b.Database == "separate" {
		_, err = fmt.Fprintln(w, "The database is not in it: keep the dump made before beside it.")
	}
	if err != nil || b.Check == nil {
		return err
	}
	return printInspection(w, b.Check)
}

func runRestore(e *Env, o *backupFlags, f *flagSet, args []string) error {
	cfg, dir, err := backupArgs(e, o, f, args, "the backup to restore")
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	r, err := app.Restore(ctx, app.RestoreOptions{From: dir, Data: cfg.Data})
	if err != nil {
		return backupFailed("nothing was restored", err)
	}
	if o.json || !e.terminal().Stdout {
		return printJSON(e.Stdout, r)
	}
	fmt.Fprintf(e.Stdout, "%s: %s, %s, as of %s\n", clean(r.Directory), count(r.Files, "file", "files"), bytesText(r.Bytes), e.when(r.Made))
	if r.Database == "separate" {
		fmt.Fprintln(e.Stdout, "The database was not in the backup: restore the dump that belongs to it before the start.")
	}
	if r.Settings != "" {
		fmt.Fprintf(e.Stdout, "The settings file was not put back: %s\n", clean(r.Settings))
	}
	return nil
}

func runVerify(e *Env, o *backupFlags, f *flagSet, args []string) error {
	cfg, dir, err := backupArgs(e, o, f, args, "")
	if err != nil {
		return err
	}
	in := app.InspectOptions{Directory: dir}
	if dir == "" || sameDirectory(dir, cfg.Data) {
		in = app.InspectOptions{Directory: cfg.Data, Database: string(cfg.Database)}
	}
	ctx, stop := interruptible()
	defer stop()
	r, err := app.Inspect(ctx, in)
	if err != nil {
		return backupFailed("the check could not be made", err)
	}
	if o.json || !e.terminal().Stdout {
		err = printJSON(e.Stdout, r)
	} else {
		err = printInspection(e.Stdout, r)
	}
	if err == nil && !r.OK {
		err = failed("%s is damaged: %s", r.Directory, count(len(r.Damage)+r.More, "finding", "findings"))
	}
	return err
}

func sameDirectory(a, b string) bool {
	x, errX := filepath.Abs(a)
	y, errY := filepath.Abs(b)
	return errX == nil && errY == nil && x == y
}

func printInspection(w io.Writer, r *app.Inspection) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	state := "no damage found"
	if !r.OK {
		state = "DAMAGED"
	}
	fmt.Fprintf(&b, "%s: %s\n", clean(r.Directory), state)
	if r.Kind == "backup" {
		line("files", "%s, %s", count(r.Files, "file", "files"), bytesText(r.FileBytes))
	}
	line("database", "%s", r.Database)
	line("bodies", "%d in %s, %s", r.Records, count(r.Segments, "segment", "segments"), bytesText(r.Bytes))
	if r.Messages > 0 || r.Database == "ok" {
		line("messages", "%d, %d without a readable body", r.Messages, r.Unreadable)
		line("unused", "%d bodies, %s", r.Orphans, bytesText(r.OrphanBytes))
	}
	if r.Torn > 0 {
		line("torn", "%s behind the last bodies, of writes that were never acknowledged", bytesText(r.Torn))
	}
	for _, d := range r.Damage {
		text := clean(d.Text)
		if d.Message != 0 {
			text = fmt.Sprintf("message %d: %s", d.Message, text)
		}
		fmt.Fprintf(&b, "  ! %s %s: %s\n", d.What, clean(d.Where), text)
	}
	if r.More > 0 {
		fmt.Fprintf(&b, "  ! and %d more\n", r.More)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// backupFailed is the error of a command that came to nothing.
func backupFailed(message string, err error) error {
	f := &failure{status: exitFailed, code: "failed", message: message, cause: err.Error(), err: err}
	switch {
	case errors.Is(err, context.Canceled):
		f.cause = "interrupted"
	case errors.Is(err, app.ErrPostgres):
		f.hint = "pg_dump --format=custom --file=postroad.dump URL, then the same command with --files-only"
	case errors.Is(err, app.ErrDamaged):
		f.hint = "use another backup; postroad verify BACKUP says what is wrong with this one"
	case errors.Is(err, os.ErrPermission):
		f.hint = "run this as the user of the server"
	}
	return f
}
