package panel

// Status is the state of one recipient of a message.
type Status string

// Statuses, in the order in which counters show them.
const (
	Captured   Status = "captured"   // kept here, never delivered (dev mode)
	Accepted   Status = "accepted"   // queued, not yet attempted
	Scheduled  Status = "scheduled"  // waits for the time asked for
	Deferred   Status = "deferred"   // an attempt failed for now, another follows
	Delivered  Status = "delivered"  // the receiving server answered 250
	Complained Status = "complained" // delivered, then reported as spam
	Suppressed Status = "suppressed" // not attempted: on a suppression list
	Rejected   Status = "rejected"   // refused by us on submission
	Failed     Status = "failed"     // refused for good by the receiving side
	Expired    Status = "expired"    // given up after the queue lifetime
	Stored     Status = "stored"     // mail from outside, kept to be fetched
)

// statuses returns every status in display order. The last ones matter most
// when several recipients have to be summed up in one.
func statuses() []Status {
	return []Status{Captured, Stored, Delivered, Accepted, Scheduled, Deferred, Suppressed, Expired, Complained, Rejected, Failed}
}

// known reports whether s is one of the statuses.
func (s Status) known() bool {
	for _, k := range statuses() {
		if s == k {
			return true
		}
	}
	return false
}

// tone returns the colour family of a status. Colour is never the only
// signal: every status also has its word and its own icon.
func (s Status) tone() string {
	switch s {
	case Delivered, Stored:
		return "good"
	case Deferred, Expired, Suppressed:
		return "warn"
	case Failed, Rejected, Complained:
		return "bad"
	case Captured:
		return "capture"
	default:
		return "calm"
	}
}

// callTone does the same for webhook calls and record states.
func callTone(s CallState) string {
	switch s {
	case CallDelivered:
		return "good"
	case CallFailed:
		return "bad"
	default:
		return "calm"
	}
}

// recordTone is milder for a record that sending does not need.
func recordTone(r Record) string {
	switch {
	case r.State == RecordValid:
		return "good"
	case r.State == RecordUnknown:
		return "calm"
	case r.Required:
		return "bad"
	default:
		return "warn"
	}
}
