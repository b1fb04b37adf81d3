package webhook

import (
	"encoding/json"
	"time"

	"postroad/internal/base/ids"
	"postroad/internal/core/event"
)

// sample is an event of the type a webhook name stands for, as a test sends
// it: every member a real one of that type has, with invented values under
// example.com.
func sample(name, domain string, now time.Time) *event.Doc {
	yes := true
	d := &event.Doc{
		Event: event.Type(name), ID: ids.Token(16), Timestamp: event.Timestamp(now.UnixMicro()), LogLevel: "info",
		Recipient: "alice@example.com", RecipientDom: "example.com",
		Tags: []string{"my_tag_1", "my_tag_2"}, Campaigns: []string{},
		UserVariables: json.RawMessage(`{"my_var_1":"Mailgun Variable #1","my-var-2":"awesome"}`),
		Message: &event.Message{Attachments: []event.Attachment{}, Headers: event.Headers{
			To: "Alice <alice@example.com>", From: "Bob <bob@" + domain + ">", Subject: "Test webhook",
			MessageID: "20130503182626.18666.16540@" + domain}, Size: 111},
	}
	switch name {
	case "accepted":
		d.Method = "HTTP"
		d.Envelope, d.Flags = sampleEnvelope(domain), &event.Flags{IsAuthenticated: true}
		d.Message.Recipients = []string{"alice@example.com"}
	case "delivered":
		d.Envelope, d.Flags = sampleEnvelope(domain), &event.Flags{IsAuthenticated: true}
		d.DeliveryStatus = &event.DeliveryStatus{TLS: &yes, MXHost: "smtp-in.example.com", Code: 250, Message: "OK",
			SessionSeconds: 0.433, UTF8: &yes, AttemptNo: 1, CertificateVerified: &yes}
	case "permanent_fail", "temporary_fail":
		sampleFailure(d, name, domain)
	case "complained":
		d.LogLevel, d.Flags = "warn", &event.Flags{}
	case "opened", "clicked", "unsubscribed":
		sampleEngagement(d, name)
	}
	return d
}

func sampleEnvelope(domain string) *event.Envelope {
	return &event.Envelope{Sender: "bob@" + domain, Transport: "smtp", Targets: "alice@example.com", SendingIP: "192.0.2.10"}
}

func sampleFailure(d *event.Doc, name, domain string) {
	d.Event, d.Severity, d.Reason, d.LogLevel = event.Failed, event.Permanent, "bounce", "error"
	d.Envelope, d.Flags = sampleEnvelope(domain), &event.Flags{IsAuthenticated: true}
	yes := true
	d.DeliveryStatus = &event.DeliveryStatus{TLS: &yes, MXHost: "smtp-in.example.com", Code: 550, EnhancedCode: "5.1.1",
		Message: "5.1.1 The email account that you tried to reach does not exist", SessionSeconds: 0.433, UTF8: &yes,
		AttemptNo: 1, CertificateVerified: &yes, BounceType: "hard"}
	if name == "temporary_fail" {
		d.Severity, d.Reason, d.LogLevel = event.Temporary, "generic", "warn"
		s := d.DeliveryStatus
		s.Code, s.EnhancedCode, s.Message, s.BounceType, s.RetrySeconds = 452, "4.2.2", "4.2.2 The mailbox is over its quota", "soft", 600
	}
}

func sampleEngagement(d *event.Doc, name string) {
	d.IP = "192.0.2.143"
	d.Geolocation = &event.Geolocation{Country: "US", Region: "CA", City: "San Francisco"}
	d.ClientInfo = &event.ClientInfo{ClientType: "mobile browser", ClientOS: "iOS", DeviceType: "mobile", ClientName: "Mobile Safari",
		UserAgent: "Mozilla/5.0 (iPhone; CPU iPhone OS 6_1 like Mac OS X) AppleWebKit/536.26 (KHTML, like Gecko) Version/6.0 Mobile/10B143 Safari/8536.25"}
	if name == "clicked" {
		d.URL = "https://example.com/"
	}
}
