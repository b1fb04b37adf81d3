package deliver

import (
	"log/slog"

	"postroad/internal/core/event"
	"postroad/internal/core/message"
	"postroad/internal/core/queue"
)

// follow makes the event of a recipient's simulated reaction, in the shape the
// real one has. Mailgun: complained events carry the headers of the message.
func follow(msg *message.Message, d *queue.Delivery, t event.Type) *event.Event {
	e := msg.EventFor(t, d.Recipient, d.Vars)
	if t == event.Complained {
		doc := &e.Doc
		doc.Envelope, doc.Storage, doc.Batch = nil, nil, nil
		return e
	}
	e = e.Reaction(t)
	e.First = t == event.Opened || t == event.Clicked
	doc := &e.Doc
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
