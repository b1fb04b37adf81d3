//go:build linux

package main

import (
	"sync"
	"time"
)

// ledger is what was acknowledged to the load and what the sinks took. A
// message is known by the id the rig put in its rigHeader.
type ledger struct {
	mu      sync.Mutex
	acked   map[string]time.Time
	arrived map[string]map[string]int // rig id: Message-Id and recipient: how often
	first   map[string]time.Time      // rig id: first arrival
	last    time.Time                 // of the latest arrival
}

func newLedger() *ledger {
	return &ledger{acked: map[string]time.Time{}, arrived: map[string]map[string]int{}, first: map[string]time.Time{}, last: time.Now()}
}

func (l *ledger) ack(rig string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked[rig] = time.Now()
}

func (l *ledger) arrive(m received) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.arrived[m.rig] == nil {
		l.arrived[m.rig] = map[string]int{}
		l.first[m.rig] = time.Now()
	}
	for _, to := range m.to {
		l.arrived[m.rig][m.id+" "+to]++
	}
	l.last = time.Now()
}

func (l *ledger) ackedCount() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// missing lists acknowledged messages that did not arrive.
func (l *ledger) missing() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for rig := range l.acked {
		if len(l.arrived[rig]) == 0 {
			out = append(out, rig)
		}
	}
	return out
}

// duplicates counts arrivals beyond the first of each message and recipient.
func (l *ledger) duplicates() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ids := range l.arrived {
		for _, times := range ids {
			n += times - 1
		}
	}
	return n
}

// copies is how many arrivals of one rig id differ in Message-Id or recipient.
func (l *ledger) copies(rig string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.arrived[rig])
}

// quiet is how long ago the latest message arrived.
func (l *ledger) quiet() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.last)
}
