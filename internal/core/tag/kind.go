package tag

import (
	"strings"

	"postroad/internal/core/event"
)

// kind is what an event is counted as. Every event is of one kind at most. The
// numbers are in the database: never renumber.
type kind int64

const (
	acceptedIn            kind = iota + 1 // for a route, a list or another program here
	acceptedOut                           // for a recipient
	deliveredFirst                        // by SMTP, at the first attempt
	deliveredLater                        // by SMTP, after others
	postedFirst                           // by HTTP, at the first attempt
	postedLater                           // by HTTP, after others
	deferred                              // failed for the time being
	deferredBlock                         // the same, for the sender's reputation
	hardBounce                            // failed for good from here on
	softBounce                            // what is neither hard nor one of the following
	blockBounce                           // for the sender's reputation
	expired                               // there was no more time
	suppressedBounce                      // not attempted
	suppressedUnsubscribe                 // not attempted
	suppressedComplaint                   // not attempted
	delayedBounce                         // after it was delivered
	postFailed                            // by HTTP
	openedFirst                           // within seven days, by a human
	openedAgain
	clickedFirst // within seven days, by a human
	clickedAgain
	unsubscribed
	complained
	stored

	kinds = int(iota) + 1 // numbers used, 0 among them
)

// counts is how often something happened, by kind.
type counts [kinds]int64

// sum adds up what is counted as one of several kinds.
func (c *counts) sum(list ...kind) (n int64) {
	for _, k := range list {
		n += c[k]
	}
	return n
}

// add ignores kinds of a program newer than this one.
func (c *counts) add(k kind, n int64) {
	if k > 0 && int(k) < kinds {
		c[k] += n
	}
}

// kindOf returns what an event is counted as, 0 for nothing.
func kindOf(e *event.Event) kind {
	d := &e.Doc
	switch d.Event {
	case event.Accepted:
		if isRouted(d) {
			return acceptedIn
		}
		return acceptedOut
	case event.Delivered:
		return either(byHTTP(d), either(isRetry(d), postedLater, postedFirst), either(isRetry(d), deliveredLater, deliveredFirst))
	case event.Failed:
		return failureOf(d)
	case event.Opened:
		return either(e.First, openedFirst, openedAgain)
	case event.Clicked:
		return either(e.First, clickedFirst, clickedAgain)
	case event.Unsubscribed:
		return unsubscribed
	case event.Complained:
		return complained
	case event.Stored:
		return stored
	}
	return 0
}

func either(is bool, a, b kind) kind {
	if is {
		return a
	}
	return b
}

// failureOf tells failures apart. Mailgun: the metric definitions.
func failureOf(d *event.Doc) kind {
	switch {
	case d.Severity == event.Temporary:
		return either(d.Reason == "espblock", deferredBlock, deferred)
	case d.Flags != nil && d.Flags.IsDelayedBounce:
		return delayedBounce
	case byHTTP(d):
		return postFailed
	}
	switch d.Reason {
	case "bounce":
		return hardBounce
	case "espblock":
		return blockBounce
	case "old":
		return expired
	case "suppress-bounce":
		return suppressedBounce
	case "suppress-unsubscribe":
		return suppressedUnsubscribe
	case "suppress-complaint":
		return suppressedComplaint
	}
	return softBounce
}

// isRouted: Mailgun: accepted events that are incoming cover routes, forwards and
// posts to mailing lists; what goes on to members is outgoing.
func isRouted(d *event.Doc) bool {
	return d.Flags != nil && d.Flags.IsRouted || byHTTP(d) ||
		d.MailingList != nil && strings.EqualFold(d.Recipient, d.MailingList.Address)
}

func byHTTP(d *event.Doc) bool { return d.Envelope != nil && d.Envelope.Transport == "http" }

func isRetry(d *event.Doc) bool { return d.DeliveryStatus != nil && d.DeliveryStatus.AttemptNo > 1 }
