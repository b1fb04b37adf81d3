// Package event records what happened to messages: facts, appended once and
// never changed.
//
// An event and everything that follows from it (webhook calls, suppressions)
// are written in one transaction: Stage hands the event to the sinks with the
// same transaction. The document of an event is the one clients read from the
// events API, from logs and in webhooks.
//
// Tables: event_day lists the partitions, event_YYYYMMDD holds one day each.
// A row has integer columns for look-ups and the rest of the document as JSON
// compressed against a dictionary of typical documents; the SMTP conversation
// of an attempt lies beside it. Dropping a day is dropping a table.
//
// Callers: message (accepted, rejected), deliver (delivered, failed), dev
// mode's simulated outcomes; the webhook and panel edges read and subscribe.
package event
