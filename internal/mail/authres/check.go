package authres

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"postroad/internal/mail/dkim"
)

// maxTime bounds a Check. RFC 7208, section 4.6.4, wants at least 20 s for SPF,
// and clients wait ten minutes for the end of DATA (RFC 5321, section 4.5.3.2.6).
const maxTime = 20 * time.Second

// Request is what is judged.
type Request struct {
	// IP is the address of the client, HELO the name it gave.
	IP   netip.Addr
	HELO string
	// MailFrom is the address of MAIL FROM without brackets, "" for the null sender.
	MailFrom string
	// Message as received, with CRLF line ends, before Strip and without fields of
	// our own.
	Message []byte
	// AuthservID is our name in the results (RFC 8601, section 2.5).
	AuthservID string
	// Time is now: signatures expire.
	Time time.Time
}

// Check judges a message. It takes at most 20 s, or as long as ctx allows; what
// is not known by then is temperror.
func Check(ctx context.Context, r Resolver, q Request) *Verdict {
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	q.IP = q.IP.Unmap().WithZone("")
	v := &Verdict{AuthservID: q.AuthservID, IP: q.IP}
	var wait sync.WaitGroup
	wait.Go(func() { v.IPRev = checkIPRev(ctx, r, q.IP) })
	wait.Go(func() { v.HELO = checkHELO(ctx, r, q.IP, q.HELO) })
	if q.MailFrom != "" {
		wait.Go(func() { v.MailFrom = checkMailFrom(ctx, r, q.IP, q.HELO, q.MailFrom) })
	}
	var found []published
	m, err := dkim.ReadMessage([][]byte{q.Message})
	if err != nil {
		v.unreadable(err)
	} else {
		wait.Go(func() { v.DKIM = checkDKIM(ctx, r, m, q.Time) })
		wait.Go(func() { v.ARC = checkARC(ctx, r, m, q.Time) })
		wait.Go(func() { v.DMARC, found = startDMARC(ctx, r, m) })
	}
	wait.Wait()
	if q.MailFrom == "" {
		v.MailFrom = v.HELO
		v.MailFrom.Identity = ""
	}
	if err == nil {
		v.DKIMUnchecked = m.Count(dkim.MessageSignature.FieldName()) - len(v.DKIM)
	}
	if len(found) > 0 {
		v.DMARC = evaluateAll(found, v.MailFrom, v.DKIM)
	}
	return v
}

// unreadable is the verdict on a message whose header is too large.
func (v *Verdict) unreadable(err error) {
	v.DMARC = DMARC{Result: PermError, Disposition: Deliver, Reason: err.Error()}
	v.ARC = ARC{Result: Fail, Reason: err.Error()}
}

// startDMARC finds the records of the authors, while SPF and DKIM are at work.
// Without an author there is only a verdict.
func startDMARC(ctx context.Context, r Resolver, m *dkim.Message) (DMARC, []published) {
	domains, reason := authors(m)
	if reason != "" {
		return DMARC{Result: PermError, Disposition: Deliver, Reason: reason}, nil
	}
	return DMARC{}, discoverAll(ctx, r, domains)
}
