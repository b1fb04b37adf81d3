package deliver

import (
	"log/slog"

	"postroad/internal/core/event"
	"postroad/internal/core/message"
	"postroad/internal/core/queue"
)

// follow makes the event of a recipient's simulated reaction, in the shape the
// real one has. Mailgun: opened, clicked and unsubscribed carry the message id
// only; complained the headers.
func follow(msg *message.Message, d *queue.Delivery, t event.Type) *event.Event {
	e := msg.EventFor(t, d.Recipient, d.Vars)
	doc := &e.Doc
	doc.Envelope, doc.Storage, doc.Batch = nil, nil, nil
	if t == event.Complained {
		return e
	}
	doc.Flags = nil
	doc.Message = &event.Message{Headers: event.Headers{MessageID: msg.MessageID}, Attachments: []event.Attachment{}}
	doc.IP = "127.0.0.1"
	doc.Geolocation = &event.Geolocation{Country: "Unknown", Region: "Unknown", City: "Unknown"}
	doc.ClientInfo = &event.ClientInfo{ClientType: "browser", ClientOS: "Linux", DeviceType: "desktop", ClientName: "Simulated",
		UserAgent: "postroad dev (simulated)"}
	if t == event.Clicked {
		doc.URL = "https://example.com/"
	}
	return e
}

func levelOf(o *outcome) slog.Level {
	if o.verdict == failed {
		return slog.LevelWarn
	}
	return slog.LevelInfo
}
