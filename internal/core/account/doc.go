// Package account knows who calls: accounts, their API keys and roles, and the
// key that signs webhooks.
//
// Invariants:
//   - The secret of an API key is shown once, when it is made; the database has
//     its SHA-256 hash only. Secrets are random and at least 128 bits long, so a
//     slow hash would add cost and no safety.
//   - The webhook signing key must be readable again and is stored sealed with
//     the installation's master secret.
//   - The role of a key never changes. A domain sending key (kind domain, role
//     sending) can send from its own domain and do nothing else.
//   - What a role may do is one table (Allowed), asked by every edge.
//   - A key that was deleted or disabled is refused at once in this process and
//     within the cache's 10 seconds in others.
//
// Tables: account, api_key, setting (the row "first_account").
// Callers: the HTTP edge and the panel (Authenticate, Authorize), every
// operation (From), webhook (SigningKey), app (Bootstrap).
package account
