// Package resend is an API that the clients of Resend speak: mail sent by it is
// taken by message as any other, under an id of its own, and what happens to it is
// told to webhooks in Resend's words, signed as Svix does it.
//
// An email is a message with a row here, written in the transaction that takes the
// message: what GET answers and the message does not say (who is a bcc), when it is
// due, whether it was canceled. Its state is not stored: it is read off the events.
// Events know the email by the id that the message carries (event.Email), so that
// the sink needs no query.
//
// Tables: resend_email, resend_request, resend_webhook. Callers: the HTTP
// operations; event, which has Hooks as a sink.
package resend
