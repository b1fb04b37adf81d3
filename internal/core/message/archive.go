package message

import (
	"slices"
	"strings"

	"postroad/internal/base/errs"
	"postroad/internal/base/netx"
	"postroad/internal/core/queue"
	"postroad/internal/mail/addr"
)

// An archive copy is one more delivery of a message, to an address or a URL of
// o:archive-to. It has the message's times and pool, and for all a sender's
// program sees it does not exist: it is no recipient and has no events. Of a
// batch there is one copy, with the placeholders as they were written.

// maxArchive bounds the places of one message.
const maxArchive = 10

// archiveVars marks the delivery of an archive copy.
const archiveVars = `{"to":"undisclosed-recipients:;","target":"","archive":true}`

// ArchiveCopy reports whether a delivery with these variables is an archive copy,
// about which no events are made.
func ArchiveCopy(vars string) bool { return vars == archiveVars }

// archiveTo adds the places in value to those known before: addresses separated
// by commas, or one URL. Mailgun: a URL.
func archiveTo(before, value string) (string, error) {
	known := strings.Fields(before)
	add := func(place string) {
		if !slices.Contains(known, place) {
			known = append(known, place)
		}
	}
	list, err := addr.ParseList(value)
	switch {
	case value == "":
	case netx.IsURL(value):
		if netx.ValidateURL(value) != nil {
			return "", badArchive(value)
		}
		add(value)
	case err != nil || len(list) == 0:
		return "", badArchive(value)
	}
	for _, a := range list {
		if strings.ContainsAny(a.Mailbox(), " \t") { // a quoted local part: the places are kept in one text
			return "", badArchive(value)
		}
		add(a.Mailbox())
	}
	if len(known) > maxArchive {
		return "", errs.New(errs.Invalid, "invalid value of 'o:archive-to': at most %d places", maxArchive)
	}
	return strings.Join(known, " "), nil
}

func badArchive(value string) error {
	return errs.New(errs.Invalid, "invalid value '%s' of 'o:archive-to': expected a URL or an address", shorten(value, 80))
}

// archived returns the deliveries of the archive copies beside the message's own.
// A recipient's address gets no second copy.
func (s *Service) archived(m *Message, own []*queue.Delivery) (out []*queue.Delivery) {
	if m.Meta.Options.ArchiveTo == "" || len(own) == 0 {
		return nil
	}
	for place := range strings.FieldsSeq(m.Meta.Options.ArchiveTo) {
		d := *own[0]
		d.ID, d.Recipient, d.Vars = s.IDs.Next(), place, archiveVars
		if netx.IsURL(place) {
			if !s.URLs {
				continue
			}
		} else {
			if slices.ContainsFunc(m.Meta.Recipients, func(r string) bool { return addr.Canonical(r) == addr.Canonical(place) }) {
				continue
			}
		}
		d.Destination = destination(place)
		out = append(out, &d)
	}
	return out
}
