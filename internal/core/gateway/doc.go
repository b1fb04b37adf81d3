// Package gateway is the multi-provider email API (/api/email): messages, bulk mail
// and campaigns in one dialect, sent by a provider of the client's choice with the
// client's key there.
//
// Invariants:
//   - The provider's key is in no log and in no table in clear. A campaign holds it
//     sealed until it is finished.
//   - A request to a provider that may have been taken is repeated only as it was,
//     under the same idempotency key. Another provider gets mail only after the first
//     has said that it did not take it, or could not be reached.
//   - A campaign's batch is claimed by one loop; what became of it is recorded in
//     the transaction that ends it.
//
// Tables: gateway_campaign, gateway_batch, gateway_participant, gateway_sent.
package gateway
