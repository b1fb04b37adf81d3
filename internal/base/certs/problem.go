package certs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"postroad/internal/base/disk"
)

// problemsFile is where the last failures are kept, for doctor.
const problemsFile = "problems.json"

// Problem is why there is no new certificate for a name.
type Problem struct {
	At    time.Time `json:"at"`
	Error string    `json:"error"`
}

// Problems reads the last failures of the ACME client that keeps its files in a
// directory, by name. A name that has its certificate is not among them.
func Problems(dir string) (map[string]Problem, error) {
	text, err := os.ReadFile(filepath.Join(dir, problemsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out map[string]Problem
	if err := json.Unmarshal(text, &out); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, problemsFile), err)
	}
	return out, nil
}

// maxProblems bounds the file: on-demand names come from outside.
const maxProblems = 1000

// problems keeps the names wanted and what went wrong with them.
type problems struct {
	dir string
	now func() time.Time

	mu      sync.Mutex
	managed map[string]context.CancelFunc // what ends the work for a name
	list    map[string]Problem
}

// openProblems makes the directory if need be, and begins without problems: what
// is left of them will fail again.
func openProblems(dir string, now func() time.Time) (*problems, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	p := &problems{dir: dir, now: now, managed: map[string]context.CancelFunc{}, list: map[string]Problem{}}
	return p, p.save()
}

func (p *problems) save() error {
	text, err := json.Marshal(p.list)
	if err != nil {
		return err
	}
	return disk.WriteFile(filepath.Join(p.dir, problemsFile), append(text, '\n'), 0o600)
}

func (p *problems) isManaged(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.managed[name] != nil
}

// manage notes a name and returns the context of the work for it, which ends when
// the name is forgotten; false if the name is managed already.
func (p *problems) manage(ctx context.Context, name string) (context.Context, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.managed[name] != nil {
		return ctx, false
	}
	ctx, p.managed[name] = context.WithCancel(ctx)
	return ctx, true
}

// of returns what went wrong with a name.
func (p *problems) of(name string) Problem {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.list[name]
}

func (p *problems) forget(name string) error {
	p.mu.Lock()
	if stop := p.managed[name]; stop != nil {
		stop()
	}
	delete(p.managed, name)
	p.mu.Unlock()
	return p.clear(name)
}

func (p *problems) set(name string, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.list[name]; !known && len(p.list) >= maxProblems {
		return nil
	}
	p.list[name] = Problem{At: p.now().UTC().Truncate(time.Second), Error: fmt.Sprintf("%.500v", err)}
	return p.save()
}

func (p *problems) clear(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.list[name]; !known {
		return nil
	}
	delete(p.list, name)
	return p.save()
}
