package deliver

import (
	"log/slog"

	"postroad/internal/core/event"
	"postroad/internal/core/message"
)

// follow makes the event of a recipient's simulated reaction, in the shape the
// real one has. Mailgun: opened, clicked and unsubscribed carry the message id
// only; complained the headers.
func follow(msg *message.Message, recipient string, t event.Type) *event.Event {
	e := msg.Event(t, recipient)
	d := &e.Doc
	d.Envelope, d.Storage, d.Batch = nil, nil, nil
	if t == event.Complained {
		return e
	}
	d.Flags = nil
	d.Message = &event.Message{Headers: event.Headers{MessageID: msg.MessageID}, Attachments: []event.Attachment{}}
	d.IP = "127.0.0.1"
	d.Geolocation = &event.Geolocation{Country: "Unknown", Region: "Unknown", City: "Unknown"}
	d.ClientInfo = &event.ClientInfo{ClientType: "browser", ClientOS: "Linux", DeviceType: "desktop", ClientName: "Simulated",
		UserAgent: "postroad dev (simulated)"}
	if t == event.Clicked {
		d.URL = "https://example.com/"
	}
	return e
}

func levelOf(o *outcome) slog.Level {
	if o.verdict == failed {
		return slog.LevelWarn
	}
	return slog.LevelInfo
}
