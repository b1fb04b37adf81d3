// Package workspace is the email API of applications with workspaces: it sends
// mail for a workspace, keeps what was sent and received, and knows what became of
// it. Callers are the application's users, with its tokens (RFC 7519).
//
// Mail is sent through Mailgun's API: this program's own, without a network, or a
// remote account's. A message is stored as pending first and sent with its UUID as
// idempotency key, so that one whose sending was cut off is finished at the next
// start. Its status follows the events of the message, which a user variable ties
// to it: as a sink in the transaction of the event, or by signed webhooks. What
// comes in arrives by the post of a route.
//
// Invariants:
//   - A workspace is reached only with a token that names it; to others it does not
//     exist.
//   - A status never falls, whatever the order of events; a time is that of the
//     earliest event of its kind.
//   - Who changes mail of a workspace holds its row first (lock): seq has no gaps,
//     and the states of a block are those of its messages.
//
// Lists with their totals are answered from columns of 1,024 messages each (see
// column): how long that takes does not depend on what is filtered by or how far
// a page is from the first, only on how many messages there are.
//
// Tables: workspace, workspace_email, workspace_body, workspace_state,
// workspace_column. Callers: app, the HTTP edge.
package workspace
