package event

import "postroad/internal/base/jsonw"

// writer appends a document as JSON, in the form encoding/json gives it with
// < > & left as they are: clients show it, and addresses are full of them.
type writer struct{ jsonw.Writer }

// encode returns the document as JSON.
func encode(d *Doc) ([]byte, error) {
	w := &writer{jsonw.Writer{B: make([]byte, 0, 1280)}}
	w.doc(d)
	return w.B, w.Err
}

func (w *writer) doc(d *Doc) {
	w.B = append(w.B, `{"event":`...)
	w.Text(string(d.Event))
	w.Member("id", d.ID)
	w.Name("timestamp")
	w.B = d.Timestamp.append(w.B)
	w.Member("log-level", d.LogLevel)
	w.Optional("severity", d.Severity)
	w.Optional("reason", d.Reason)
	w.Optional("method", d.Method)
	w.Optional("api-key-id", d.APIKeyID)
	w.Optional("originating-ip", d.OriginatingIP)
	if d.Envelope != nil {
		w.Object("envelope")
		w.Optional("sender", d.Envelope.Sender)
		w.Optional("transport", d.Envelope.Transport)
		w.Optional("targets", d.Envelope.Targets)
		w.Optional("sending-ip", d.Envelope.SendingIP)
		w.End()
	}
	if d.Flags != nil {
		w.Object("flags")
		w.Bool("is-routed", d.Flags.IsRouted)
		w.Bool("is-authenticated", d.Flags.IsAuthenticated)
		w.Bool("is-system-test", d.Flags.IsSystemTest)
		w.Bool("is-test-mode", d.Flags.IsTestMode)
		if d.Flags.IsDelayedBounce {
			w.Bool("is-delayed-bounce", true)
		}
		w.End()
	}
	jsonw.Rare(&w.Writer, "reject", d.Reject)
	if d.DeliveryStatus != nil {
		w.status(d.DeliveryStatus)
	}
	if d.Message != nil {
		w.message(d.Message)
	}
	if d.Storage != nil {
		w.Object("storage")
		w.Member("url", d.Storage.URL)
		w.Member("region", d.Storage.Region)
		w.Member("key", d.Storage.Key)
		w.Member("env", d.Storage.Env)
		w.End()
	}
	jsonw.Rare(&w.Writer, "batch", d.Batch)
	jsonw.Rare(&w.Writer, "template", d.Template)
	jsonw.Rare(&w.Writer, "mailing-list", d.MailingList)
	if len(d.Routes) > 0 {
		w.Name("routes")
		w.Any(d.Routes)
	}
	if d.Upload != nil {
		w.upload(d.Upload)
	}
	w.Optional("recipient", d.Recipient)
	w.Optional("recipient-domain", d.RecipientDom)
	w.Optional("recipient-provider", d.Provider)
	w.Optional("ip", d.IP)
	w.Optional("url", d.URL)
	jsonw.Rare(&w.Writer, "client-info", d.ClientInfo)
	jsonw.Rare(&w.Writer, "geolocation", d.Geolocation)
	w.List("tags", d.Tags)
	w.List("campaigns", d.Campaigns)
	w.Name("user-variables")
	if string(d.UserVariables) == "{}" {
		w.B = append(w.B, "{}"...)
	} else {
		w.Any(d.UserVariables)
	}
	w.End()
}

func (w *writer) upload(u *Upload) {
	jsonw.Rare(&w.Writer, "member", u.Member)
	w.Optional("task-id", u.TaskID)
	w.Optional("format", u.Format)
	w.Optional("member-description", u.MemberDescription)
	jsonw.Rare(&w.Writer, "error", u.Error)
	jsonw.Rare(&w.Writer, "subscribed", u.Subscribed)
	jsonw.Rare(&w.Writer, "is-upsert", u.IsUpsert)
	jsonw.Rare(&w.Writer, "upserted-count", u.UpsertedCount)
	jsonw.Rare(&w.Writer, "failed-count", u.FailedCount)
}

func (w *writer) status(s *DeliveryStatus) {
	w.Object("delivery-status")
	if s.TLS != nil {
		w.Bool("tls", *s.TLS)
	}
	w.Optional("mx-host", s.MXHost)
	w.Int("code", int64(s.Code))
	w.Member("description", s.Description)
	w.Float("session-seconds", s.SessionSeconds)
	if s.UTF8 != nil {
		w.Bool("utf8", *s.UTF8)
	}
	w.Int("attempt-no", int64(s.AttemptNo))
	w.Member("message", s.Message)
	if s.CertificateVerified != nil {
		w.Bool("certificate-verified", *s.CertificateVerified)
	}
	w.Optional("enhanced-code", s.EnhancedCode)
	if s.RetrySeconds != 0 {
		w.Int("retry-seconds", int64(s.RetrySeconds))
	}
	w.Optional("bounce-code", s.BounceCode)
	if s.LastCode != 0 {
		w.Int("last-code", int64(s.LastCode))
	}
	w.Optional("last-message", s.LastMessage)
	w.Optional("bounce-type", s.BounceType)
	if s.FirstAttemptSeconds != 0 {
		w.Float("first-delivery-attempt-seconds", s.FirstAttemptSeconds)
	}
	w.End()
}

func (w *writer) message(m *Message) {
	w.Object("message")
	w.Object("headers")
	w.Member("to", m.Headers.To)
	w.Member("message-id", m.Headers.MessageID)
	w.Member("from", m.Headers.From)
	w.Member("subject", m.Headers.Subject)
	w.End()
	w.Name("attachments")
	if len(m.Attachments) == 0 && m.Attachments != nil {
		w.B = append(w.B, "[]"...)
	} else {
		w.Any(m.Attachments)
	}
	if len(m.Recipients) > 0 {
		w.List("recipients", m.Recipients)
	}
	w.Int("size", m.Size)
	w.End()
}
