// Package httpapi serves operations (package op) over HTTP.
//
// A request passes: match, authenticate, authorise, bind, operation, encode,
// one log line. Everything that is the same for all endpoints stands here:
// routing with the tolerance Mailgun's clients need, Basic authentication, the
// binder that fills an operation's request struct from path, query, form, JSON
// or header, limits on what a body may cost, the error shapes, cross-origin
// headers, hints, and the OpenAPI and Markdown documents made from the same
// values.
//
// Invariants:
//
//   - A body is read as a stream and never beyond its limits, which count
//     bytes after decompression.
//   - Text that reaches an operation is valid UTF-8 without NUL.
//   - Only errors of package errs speak to the client; all others are logged
//     and answered with a fixed text.
//   - Secrets reach neither the log line nor the request record.
package httpapi
