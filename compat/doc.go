// Package compat holds tests that drive the real program with the client
// libraries Mailgun publishes: mailgun-go in this package, mailgun.js in the
// directory node; and its other API with those of Resend, in the directory resend for
// Node.js. The program runs as a process of its own, in dev and in
// serve mode; in serve mode it delivers to an SMTP server of the tests.
//
// There is nothing here but tests.
package compat
