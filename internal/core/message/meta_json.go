package message

import (
	"postroad/internal/base/jsonw"
)

// The rows of every message hold Meta and Request as JSON. They are written
// without reflection, as events are; reading them is left to encoding/json.

func encodeMeta(m *Meta) (string, error) {
	w := &jsonw.Writer{B: make([]byte, 0, 1024)}
	w.B = append(w.B, '{')
	w.Object("o")
	options(w, &m.Options)
	w.End()
	w.Member("method", m.Method)
	w.Member("from", m.From)
	w.Optional("sender", m.FromMailbox)
	w.Member("to", m.To)
	w.Member("subject", m.Subject)
	w.List("rcpts", m.Recipients)
	if len(m.Attachments) > 0 {
		w.Name("files")
		w.Any(m.Attachments)
	}
	if len(m.Variables) > 0 {
		w.Name("v")
		w.Any(m.Variables)
	}
	yes(w, "utf8", m.UTF8)
	yes(w, "8bit", m.EightBit)
	yes(w, "batch", m.Batch)
	if len(m.Vars) > 0 {
		w.Name("rv")
		w.Any(m.Vars)
	}
	jsonw.Rare(w, "template", m.Template)
	jsonw.Rare(w, "track", m.Track)
	jsonw.Rare(w, "email", m.Email)
	jsonw.Rare(w, "list", m.List)
	yes(w, "foreign", m.Foreign)
	w.Optional("return", m.ReturnTo)
	jsonw.Rare(w, "dsn", m.DSN)
	yes(w, "report", m.Report)
	w.Optional("key", m.KeyID)
	w.Optional("ip", m.RemoteIP)
	w.Optional("url", m.StorageURL)
	w.End()
	return string(w.B), w.Err
}

func options(w *jsonw.Writer, o *Options) {
	if len(o.Tags) > 0 {
		w.List("tag", o.Tags)
	}
	given(w, "dkim", o.DKIM)
	w.Optional("secondary-dkim", o.SecondaryDKIM)
	w.Optional("secondary-dkim-public", o.SecondaryDKIMPublic)
	yes(w, "testmode", o.TestMode)
	if o.DeliveryTime != 0 {
		w.Int("deliverytime", o.DeliveryTime)
	}
	if o.DeliverWithin != 0 {
		w.Int("deliver-within", o.DeliverWithin)
	}
	w.Optional("deliverytime-optimize-period", o.OptimizePeriod)
	w.Optional("time-zone-localize", o.TimeZoneLocalize)
	w.Optional("tracking", o.Tracking)
	w.Optional("tracking-clicks", o.TrackingClicks)
	w.Optional("tracking-opens", o.TrackingOpens)
	w.Optional("tracking-pixel-location-top", o.TrackingPixelTop)
	given(w, "require-tls", o.RequireTLS)
	given(w, "skip-verification", o.SkipVerification)
	w.Optional("sending-ip", o.SendingIP)
	w.Optional("sending-ip-pool", o.SendingIPPool)
	w.Optional("archive-to", o.ArchiveTo)
	w.Optional("suppress-headers", o.SuppressHeaders)
	w.Optional("native-send", o.NativeSend)
	w.Optional("template", o.Template)
	w.Optional("t:version", o.TemplateVersion)
	w.Optional("t:variables", o.TemplateVariables)
	w.Optional("t:text", o.TemplateText)
}

// yes writes a boolean that is left out when false.
func yes(w *jsonw.Writer, name string, v bool) {
	if v {
		w.Bool(name, true)
	}
}

// given writes a boolean that is left out when nobody said anything.
func given(w *jsonw.Writer, name string, v *bool) {
	if v != nil {
		w.Bool(name, *v)
	}
}

func encodeRequest(r *Request) (string, error) {
	w := &jsonw.Writer{B: make([]byte, 0, 1024)}
	w.B = append(w.B, '{')
	w.Optional("id", r.ID)
	w.Member("method", r.Method)
	w.Member("path", r.Path)
	w.Member("ip", r.RemoteIP)
	w.Optional("agent", r.UserAgent)
	w.Optional("key", r.KeyID)
	if len(r.Fields) > 0 {
		w.Name("fields")
		w.B = append(w.B, '[')
		for i, f := range r.Fields {
			if i > 0 {
				w.B = append(w.B, ',')
			}
			w.B = append(w.B, '[')
			w.Text(f[0])
			w.B = append(w.B, ',')
			w.Text(f[1])
			w.B = append(w.B, ']')
		}
		w.B = append(w.B, ']')
	}
	w.End()
	return string(w.B), w.Err
}
