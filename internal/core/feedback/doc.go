// Package feedback takes the webhooks of email providers, Mailgun's and Resend's,
// and makes events of one shape of them, which are kept, forwarded and can be read.
//
// A webhook is verified before anything of it is believed. In one transaction it is
// noted as taken (replay), its events are stored, each once however often it comes,
// and the calls of subscribed URLs are staged (webhook).
//
// The events are the installation's: the providers' secrets are in its settings. Who
// reads them or subscribes is an administrator of its first account.
//
// Tables: feedback, feedback_key, feedback_subscription.
package feedback
