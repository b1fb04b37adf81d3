// Command bench measures postroad, beside Postfix on the same machine, and
// kills it under load to see whether it loses mail.
//
// Every subcommand starts what it measures itself, in a directory of its own
// that is removed at the end, and talks to it over the loopback only. The load
// tool and the sink are never counted as part of the system under test. The
// package imports nothing of postroad: it sees the program as a client and as
// a mail server see it.
//
//	bench all      bare, e2e and memory, printed and written as JSON lines
//	bench bare     acceptance over HTTP against a bare handler that reads the same bodies
//	bench e2e      load -> system under test -> sink, postroad and Postfix in turn
//	bench memory   resident memory over many messages
//	bench kill     kill -9 under load; exits 1 when mail was lost or sent twice too often
//	bench load     load on a server that runs already
//	bench sink     an SMTP sink that counts
package main
