// Package domain keeps the domains mail is sent from and received for: their
// settings, the DNS records they need and whether those are there, the DKIM keys
// that sign for them, and the SMTP logins that may send from them.
//
// Invariants:
//   - A name is stored in lower case and in A-labels and exists once in the
//     installation.
//   - Every domain has DKIM keys of its own, at least one of them active. Its
//     authority is the domain whose active keys sign its mail: itself, or the
//     registered root domain of the same account. When the authority goes away
//     the domain becomes its own.
//   - A private key is stored sealed with the installation's master secret and
//     leaves the package as a signer only. A password is stored as an argon2id
//     hash and is shown once if it was generated.
//   - A domain becomes active when its SPF record lets this server send and all
//     its active DKIM keys are published; missing MX and tracking records do not
//     hold it back. A later failing check shows in the records and does not take
//     the state away: a DNS outage must not stop mail.
//   - SPF is evaluated as a receiver would, never compared as text.
//   - Domains handed out are shared and must not be modified.
//
// # What we ask people to publish
//
// Everything points to the server's own host name (Options.Hostname), whose A
// and AAAA records exist anyway because mail is sent from there:
//
//	DKIM   postroad._domainkey.DOMAIN  TXT    k=rsa; p=...
//	SPF    DOMAIN                      TXT    v=spf1 a:HOSTNAME ~all
//	       or, once HOSTNAME itself publishes an SPF record, which it must do if
//	       mail leaves from addresses other than its own:
//	                                          v=spf1 include:HOSTNAME ~all
//	MX     DOMAIN                      MX     10 HOSTNAME
//	links  email.DOMAIN                CNAME  HOSTNAME
//
// An include of a name without SPF record makes the whole record an error (RFC
// 7208, section 5.2), which is why "a:" is what we begin with.
//
// Tables: domain, tracking_host, dkim_key, credential, setting (rows "sandbox:ACCOUNT").
// Callers: message (Ensure, Owned), deliver (Signers, ByID), smtpd (ByName,
// CheckCredential), track (ByName), webhook and suppress (Owned), app.
package domain
