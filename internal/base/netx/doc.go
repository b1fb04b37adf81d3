// Package netx is the HTTP client for every URL that comes from outside:
// webhooks, forwards of routes, and whatever else a user may name. It keeps such
// URLs from reaching what only this host can reach (server-side request forgery).
//
// Invariants:
//   - An address is checked when it is dialled, after the name was resolved, so
//     neither a changed DNS answer nor a redirect gets around it.
//   - Only addresses of the public Internet are dialled, unless the configuration
//     allows private ones or names exceptions.
//   - Only http and https, no user information in the URL, no proxy from the
//     environment, no redirect unless the configuration asks for it.
//   - A request is bounded in time, a response in bytes.
package netx
