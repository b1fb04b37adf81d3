package tag

import "strconv"

// The sums of kinds that have names of their own.
func (c *counts) accepted() int64  { return c.sum(acceptedIn, acceptedOut) }
func (c *counts) smtp() int64      { return c.sum(deliveredFirst, deliveredLater) }
func (c *counts) http() int64      { return c.sum(postedFirst, postedLater) }
func (c *counts) delivered() int64 { return c.smtp() + c.http() }
func (c *counts) opened() int64    { return c.sum(openedFirst, openedAgain) }
func (c *counts) clicked() int64   { return c.sum(clickedFirst, clickedAgain) }
func (c *counts) temporary() int64 { return c.sum(deferred, deferredBlock) }

func (c *counts) suppressed() int64 {
	return c.sum(suppressedBounce, suppressedUnsubscribe, suppressedComplaint)
}

func (c *counts) permanent() int64 {
	return c.suppressed() + c.sum(hardBounce, softBounce, blockBounce, expired, delayedBounce, postFailed)
}

// metrics are the counts and rates of the metrics API that can be told of a tag.
// Mailgun: the metric definitions; counts are numbers, rates texts with four
// decimals.
func (c *counts) metrics() map[string]any {
	delivered, permanent := c.delivered(), c.permanent()
	bounced := permanent - c.suppressed()
	processed := delivered + permanent - c[postFailed] - c[delayedBounce]
	sent := delivered + bounced
	later := c.sum(deliveredLater, postedLater)
	return map[string]any{
		"accepted_count": c.accepted(), "accepted_incoming_count": c[acceptedIn], "accepted_outgoing_count": c[acceptedOut],
		"delivered_count": delivered, "delivered_smtp_count": c.smtp(), "delivered_http_count": c.http(),
		"delivered_first_attempt_count": c.sum(deliveredFirst, postedFirst), "delivered_two_plus_attempts_count": later,
		"delayed_first_attempt_count": later + c[expired],
		"failed_count":                permanent + c.temporary(), "temporary_failed_count": c.temporary(), "permanent_failed_count": permanent,
		"esp_block_count": c[deferredBlock], "temporary_failed_esp_block_count": c[deferredBlock], "permanent_failed_esp_block_count": c[blockBounce],
		"permanent_failed_old_count": c[expired], "hard_bounces_count": c[hardBounce], "soft_bounces_count": c.sum(softBounce, blockBounce),
		"delayed_bounce_count": c[delayedBounce], "bounced_count": bounced, "webhook_count": c[postFailed],
		"suppressed_bounces_count": c[suppressedBounce], "suppressed_complaints_count": c[suppressedComplaint], "suppressed_unsubscribed_count": c[suppressedUnsubscribe],
		"processed_count": processed, "sent_count": sent, "stored_count": c[stored],
		"opened_count": c.opened(), "unique_opened_count": c[openedFirst], "clicked_count": c.clicked(), "unique_clicked_count": c[clickedFirst],
		"unsubscribed_count": c[unsubscribed], "complained_count": c[complained],

		"delivered_rate": rate(delivered, sent), "bounce_rate": rate(bounced, processed), "permanent_fail_rate": rate(permanent, processed),
		"delayed_rate": rate(later, delivered), "opened_rate": rate(c.opened(), delivered), "unique_opened_rate": rate(c[openedFirst], delivered),
		"clicked_rate": rate(c.clicked(), delivered), "unique_clicked_rate": rate(c[clickedFirst], delivered),
		"unsubscribed_rate": rate(c[unsubscribed], delivered), "complained_rate": rate(c[complained], delivered),
	}
}

// rate is a part of a whole. Mailgun: "0.8300".
func rate(n, of int64) string {
	if of == 0 {
		return "0.0000"
	}
	return strconv.FormatFloat(float64(n)/float64(of), 'f', 4, 64)
}
