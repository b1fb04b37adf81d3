// Package message takes messages in, keeps them, and is the only door out:
// everything that sends, the HTTP API, SMTP, lists, routes and the panel, ends
// in Service.Submit.
//
// Submit writes the body to the blob store, then one transaction holds the
// message, its deliveries, the accepted events and what follows from them.
// Only when that is on disk does the caller get its answer, so a message is
// either taken whole or not at all. The same Idempotency-Key never submits
// twice: the key is part of that transaction.
//
// A batch (recipient variables) stores one body and one set of variables per
// recipient; deliver personalises.
//
// A post to a mailing list is a batch whose recipients are added by
// RunExpansion, page by page; where it is stands in the transaction of each page.
//
// Tables: message, expansion, idempotency. Bodies are in segments of the blob store.
// Callers: the HTTP operations in api.go, edge/smtpd, edge/panel, deliver.
package message
