// Package tag keeps the tags messages were sent with, and counts for each what
// became of its messages.
//
// Service is a sink of events: for an event of a tagged message it stages one
// small row into tag_delta, in the event's transaction, and nothing else. Run
// counts those rows every second, and whatever reads does so first, so that
// answers contain everything acknowledged before them. Counting removes the rows,
// makes tags that are new and adds to the counters in one transaction: each event
// is counted exactly once, whenever the program dies.
//
// Tables: tag_delta; tag, one row per tag and domain; tag_stat, counters by hour
// for 60 days; tag_stat_day, counters by day for a year after that. Mailgun: days
// are kept a year, months for ever.
//
// Counters are by kind (see kind): kinds do not overlap, what the API shows is
// sums of them. Beside the count of all there is one per provider of the
// recipient, and of opens, clicks and unsubscribes one per country and device.
package tag
