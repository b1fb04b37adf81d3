package event

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
)

// writer appends a document as JSON, in the form encoding/json gives it with
// < > & left as they are: clients show it, and addresses are full of them.
// Two documents are made for each message, which is worth not using reflection;
// what is rare is left to encoding/json.
type writer struct {
	b   []byte
	err error
}

// encode returns the document as JSON.
func encode(d *Doc) ([]byte, error) {
	w := &writer{b: make([]byte, 0, 1280)}
	w.doc(d)
	return w.b, w.err
}

func (w *writer) doc(d *Doc) {
	w.b = append(w.b, `{"event":`...)
	w.text(string(d.Event))
	w.member("id", d.ID)
	w.name("timestamp")
	w.b = d.Timestamp.append(w.b)
	w.member("log-level", d.LogLevel)
	w.optional("severity", d.Severity)
	w.optional("reason", d.Reason)
	w.optional("method", d.Method)
	w.optional("api-key-id", d.APIKeyID)
	w.optional("originating-ip", d.OriginatingIP)
	if d.Envelope != nil {
		w.object("envelope")
		w.optional("sender", d.Envelope.Sender)
		w.optional("transport", d.Envelope.Transport)
		w.optional("targets", d.Envelope.Targets)
		w.optional("sending-ip", d.Envelope.SendingIP)
		w.end()
	}
	if d.Flags != nil {
		w.object("flags")
		w.bool("is-routed", d.Flags.IsRouted)
		w.bool("is-authenticated", d.Flags.IsAuthenticated)
		w.bool("is-system-test", d.Flags.IsSystemTest)
		w.bool("is-test-mode", d.Flags.IsTestMode)
		if d.Flags.IsDelayedBounce {
			w.bool("is-delayed-bounce", true)
		}
		w.end()
	}
	rare(w, "reject", d.Reject)
	if d.DeliveryStatus != nil {
		w.status(d.DeliveryStatus)
	}
	if d.Message != nil {
		w.message(d.Message)
	}
	if d.Storage != nil {
		w.object("storage")
		w.member("url", d.Storage.URL)
		w.member("region", d.Storage.Region)
		w.member("key", d.Storage.Key)
		w.member("env", d.Storage.Env)
		w.end()
	}
	rare(w, "batch", d.Batch)
	rare(w, "template", d.Template)
	rare(w, "mailing-list", d.MailingList)
	w.optional("recipient", d.Recipient)
	w.optional("recipient-domain", d.RecipientDom)
	w.optional("recipient-provider", d.Provider)
	w.optional("ip", d.IP)
	w.optional("url", d.URL)
	rare(w, "client-info", d.ClientInfo)
	rare(w, "geolocation", d.Geolocation)
	w.list("tags", d.Tags)
	w.list("campaigns", d.Campaigns)
	w.name("user-variables")
	if string(d.UserVariables) == "{}" {
		w.b = append(w.b, "{}"...)
	} else {
		w.any(d.UserVariables)
	}
	w.end()
}

func (w *writer) status(s *DeliveryStatus) {
	w.object("delivery-status")
	if s.TLS != nil {
		w.bool("tls", *s.TLS)
	}
	w.optional("mx-host", s.MXHost)
	w.int("code", int64(s.Code))
	w.member("description", s.Description)
	w.float("session-seconds", s.SessionSeconds)
	if s.UTF8 != nil {
		w.bool("utf8", *s.UTF8)
	}
	w.int("attempt-no", int64(s.AttemptNo))
	w.member("message", s.Message)
	if s.CertificateVerified != nil {
		w.bool("certificate-verified", *s.CertificateVerified)
	}
	w.optional("enhanced-code", s.EnhancedCode)
	if s.RetrySeconds != 0 {
		w.int("retry-seconds", int64(s.RetrySeconds))
	}
	if s.LastCode != 0 {
		w.int("last-code", int64(s.LastCode))
	}
	w.optional("last-message", s.LastMessage)
	w.optional("bounce-type", s.BounceType)
	if s.FirstAttemptSeconds != 0 {
		w.float("first-delivery-attempt-seconds", s.FirstAttemptSeconds)
	}
	w.end()
}

func (w *writer) message(m *Message) {
	w.object("message")
	w.object("headers")
	w.member("to", m.Headers.To)
	w.member("message-id", m.Headers.MessageID)
	w.member("from", m.Headers.From)
	w.member("subject", m.Headers.Subject)
	w.end()
	w.name("attachments")
	if len(m.Attachments) == 0 && m.Attachments != nil {
		w.b = append(w.b, "[]"...)
	} else {
		w.any(m.Attachments)
	}
	if len(m.Recipients) > 0 {
		w.list("recipients", m.Recipients)
	}
	w.int("size", m.Size)
	w.end()
}

// name begins a member.
func (w *writer) name(name string) {
	if w.b[len(w.b)-1] != '{' {
		w.b = append(w.b, ',')
	}
	w.b = append(w.b, '"')
	w.b = append(w.b, name...)
	w.b = append(w.b, '"', ':')
}

func (w *writer) object(name string) {
	w.name(name)
	w.b = append(w.b, '{')
}

func (w *writer) end() { w.b = append(w.b, '}') }

func (w *writer) member(name, value string) {
	w.name(name)
	w.text(value)
}

func (w *writer) optional(name, value string) {
	if value != "" {
		w.member(name, value)
	}
}

func (w *writer) bool(name string, v bool) {
	w.name(name)
	w.b = strconv.AppendBool(w.b, v)
}

func (w *writer) int(name string, v int64) {
	w.name(name)
	w.b = strconv.AppendInt(w.b, v, 10)
}

// float writes v as ECMAScript does within the range of seconds.
func (w *writer) float(name string, v float64) {
	w.name(name)
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) || math.IsNaN(v) {
		w.any(v)
		return
	}
	w.b = strconv.AppendFloat(w.b, v, 'f', -1, 64)
}

func (w *writer) list(name string, list []string) {
	w.name(name)
	if list == nil {
		w.b = append(w.b, "null"...)
		return
	}
	w.b = append(w.b, '[')
	for i, s := range list {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.text(s)
	}
	w.b = append(w.b, ']')
}

// text writes a string; one with anything special in it by encoding/json.
func (w *writer) text(s string) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			w.any(s)
			return
		}
	}
	w.b = append(w.b, '"')
	w.b = append(w.b, s...)
	w.b = append(w.b, '"')
}

// rare writes a member that few documents have.
func rare[T any](w *writer, name string, v *T) {
	if v != nil {
		w.name(name)
		w.any(v)
	}
}

// any writes v with encoding/json.
func (w *writer) any(v any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil && w.err == nil {
		w.err = err
	}
	w.b = append(w.b, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}
