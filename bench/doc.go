// Command bench measures Postroad beside other mail servers on the same
// machine.
//
// Every subcommand starts what it measures itself, in a directory of its own
// that is removed at the end, and talks to it over the loopback only. The load
// tool and the sink are never counted as part of the system under test. The
// package imports nothing of postroad but for bench suppress: it sees the program
// as a client and as a mail server see it.
//
// Postfix and opendkim are those installed. Haraka comes from npm, OpenSMTPD
// and Exim from Debian's packages; they are kept in the user's cache directory
// and run from there without being installed. One that cannot be had is
// reported as not measured, or is a failure with POSTROAD_TEST_PEERS=1.
//
// No figure fails a run, whatever it is: the machine decides it. What does is
// mail that was taken and did not arrive, arrived twice, or was not signed as
// it should be.
//
//	bench all          everything below, printed and written as JSON lines
//	bench loopback     load tool to sink, syncs of the disk: what bounds the rest
//	bench sign         RSA signatures per core: Go, Postroad's choice, OpenSSL
//	bench e2e          load -> system under test -> sink, the systems in turn
//	bench accept-smtp  taking mail over SMTP, nothing delivered
//	bench inbound      mail from outside that a route stores; 1,000 idle and 500 busy connections
//	bench bare         acceptance over HTTP against a bare handler that reads the same bodies
//	bench batch        one request for 1,000 recipients with variables
//	bench bulk         one request of the multi-provider API for 10,000 recipients
//	bench latency      mail to other destinations while one gets all it can
//	bench deep         a queue of many deferred deliveries: memory, disk, start
//	bench suppress     look-ups of suppressed addresses, idle and while an import writes
//	bench memory       resident memory over many messages
//	bench fetch        get the other products, for a run without network
//	bench load         load on a server that runs already
//	bench sink         an SMTP sink that counts
package main
