package panel

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// store is a Source over a few fixtures, with the behaviour the interface
// promises: filters, cursors, errors.
type store struct {
	mu       sync.Mutex
	now      time.Time
	messages []MessageDetail // newest first
	calls    []WebhookCall
	domains  []Domain
	sys      System
	keys     map[string]string
	raws     map[string]string
	contents map[string][]byte // "id/index"
	notices  chan Notice
	done     []string // changes asked for
	asked    []string // recipients whose copies were asked for
	last     Query
	fail     error
}

func fixedNow() time.Time { return time.Date(2026, 3, 4, 12, 5, 0, 0, time.UTC) }

func (s *store) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = append(s.done, what)
}

func (s *store) Authenticate(_ context.Context, key string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if who := s.keys[key]; who != "" {
		return who, s.fail
	}
	return "", fmt.Errorf("store: %w", ErrKey)
}

func (s *store) rows() []MessageRow {
	var rows []MessageRow
	for _, m := range s.messages {
		for _, r := range m.Recipients {
			a := lastAttempt(r)
			result := ""
			if a.Code >= 400 {
				result = codes(a)
			} else if a.Code > 0 {
				result = span(a.Duration)
			}
			files := 0
			for _, p := range m.Parts {
				if attached(p) {
					files++
				}
			}
			from := m.From
			if i := strings.LastIndexByte(from, '<'); i >= 0 {
				from = strings.Trim(from[i:], "<>")
			}
			rows = append(rows, MessageRow{ID: m.ID, Time: m.Accepted, Status: r.Status, From: from, To: r.Address,
				Subject: m.Subject, Domain: m.Domain, Tags: m.Tags, Size: m.Size, Attachments: files, Result: result, NextTry: r.NextTry})
		}
	}
	return rows
}

func (s *store) Messages(_ context.Context, q Query) (MessagePage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = q
	if s.fail != nil {
		return MessagePage{}, s.fail
	}
	p := MessagePage{Counts: map[Status]int{}}
	for _, r := range s.rows() {
		text := strings.ToLower(r.From + " " + r.To + " " + r.Subject + " " + r.ID)
		match := true
		for _, w := range q.Filter.Words {
			match = match && strings.Contains(text, strings.ToLower(w))
		}
		for _, w := range q.Filter.To {
			match = match && strings.Contains(r.To, w)
		}
		if !match {
			continue
		}
		p.Counts[r.Status]++
		p.Total++
		if len(q.Filter.Statuses) == 0 || slices.Contains(q.Filter.Statuses, r.Status) {
			p.Rows = append(p.Rows, r)
		}
	}
	if len(p.Rows) > 0 && q.Before == "" {
		p.Older = "cursor+1/&"
	}
	if q.Before != "" {
		p.Newer = "cursor-1"
	}
	return p, nil
}

func (s *store) find(id string) (MessageDetail, error) {
	if s.fail != nil {
		return MessageDetail{}, s.fail
	}
	for _, m := range s.messages {
		if m.ID == id {
			return m, nil
		}
	}
	return MessageDetail{}, fmt.Errorf("store: message: %w", ErrNotFound)
}

func (s *store) Message(_ context.Context, id, rcpt string) (MessageDetail, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, rcpt)
	return s.find(id)
}

func (s *store) copies() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *store) Part(_ context.Context, id, _ string, index int) (Part, []byte, error) {
	m, err := s.find(id)
	if err != nil {
		return Part{}, nil, err
	}
	for _, p := range m.Parts {
		if p.Index == index {
			return p, s.contents[fmt.Sprintf("%s/%d", id, index)], nil
		}
	}
	return Part{}, nil, ErrNotFound
}

func (s *store) Raw(_ context.Context, id, _ string) ([]byte, error) {
	if _, err := s.find(id); err != nil {
		return nil, err
	}
	return []byte(s.raws[id]), nil
}

func (s *store) DeleteMessage(_ context.Context, id string) error {
	_, err := s.find(id)
	s.note("delete " + id)
	return err
}

func (s *store) ClearMessages(context.Context) error {
	s.note("clear")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = nil
	return nil
}

func (s *store) Resend(_ context.Context, id string, to []string) (string, error) {
	for _, a := range to {
		if !strings.Contains(a, "@") {
			return "", &Refusal{Text: "The address " + a + " has no @."}
		}
	}
	s.note("resend " + id + " to " + strings.Join(to, ","))
	return id, nil
}

func (s *store) WebhookCalls(_ context.Context, q Query) (CallPage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = q
	p := CallPage{Counts: map[CallState]int{}}
	for _, c := range s.calls {
		p.Counts[c.State]++
		p.Total++
		if len(q.Filter.Statuses) == 0 || slices.Contains(q.Filter.Statuses, Status(c.State)) {
			p.Calls = append(p.Calls, c)
		}
	}
	return p, s.fail
}

func (s *store) ReplayWebhook(_ context.Context, id string) error {
	for _, c := range s.calls {
		if c.ID == id {
			s.note("replay " + id)
			return nil
		}
	}
	return ErrNotFound
}

func (s *store) Domains(context.Context) ([]Domain, error) { return s.domains, s.fail }

func (s *store) VerifyDomain(_ context.Context, name string) error {
	for _, d := range s.domains {
		if d.Name == name {
			s.note("verify " + name)
			return nil
		}
	}
	return ErrNotFound
}

func (s *store) System(context.Context) (System, error) { return s.sys, s.fail }

func (s *store) Subscribe(context.Context) <-chan Notice { return s.notices }

// newStore is one full fixture per page.
func newStore(now time.Time) *store {
	s := &store{now: now, keys: map[string]string{"key-good": "ops@example.com"}, raws: map[string]string{},
		contents: map[string][]byte{}, notices: make(chan Notice, 8)}
	s.calls = fixtureCalls(now)
	s.domains = fixtureDomains(now)
	s.sys = fixtureSystem(now)
	for i, m := range fixtureMessages(now) {
		s.raws[m.ID] = rawOf(m)
		s.contents[m.ID+"/3"] = pixel()
		s.contents[m.ID+"/4"] = []byte("%PDF-1.7 fixture")
		if i == 0 {
			m.Webhooks = s.calls[:2]
		}
		s.messages = append(s.messages, m)
	}
	for i := range s.messages {
		if i > 0 {
			s.messages[i].Newer = s.messages[i-1].ID
		}
		if i+1 < len(s.messages) {
			s.messages[i].Older = s.messages[i+1].ID
		}
	}
	return s
}

func rawOf(m MessageDetail) string {
	var b strings.Builder
	for _, h := range m.Headers {
		b.WriteString(h[0] + ": " + h[1] + "\r\n")
	}
	return b.String() + "\r\n" + m.Text + "\r\n"
}

// pixel is a PNG image of one point.
func pixel() []byte {
	return []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89" +
		"\x00\x00\x00\rIDATx\x9cc\xf8\xff\xff?\x00\x05\xfe\x02\xfe\xa75\x81\x84\x00\x00\x00\x00IEND\xaeB`\x82")
}

func newHandler(s *store, dev bool) http.Handler {
	return New(Config{Source: s, Dev: dev, Version: "0.1.0", APIBase: "http://localhost:8025", SMTPAddr: "localhost:1025",
		Now: func() time.Time { return s.now }})
}
