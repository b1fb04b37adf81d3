package event

// Reaction returns an event of type t about what a recipient did with a message,
// from one about the message and that recipient. Mailgun: opened, clicked and
// unsubscribed events name the message by its id only.
func (e *Event) Reaction(t Type) *Event {
	d := &e.Doc
	r := &Event{AccountID: e.AccountID, DomainID: e.DomainID, MessageID: e.MessageID, Doc: Doc{Event: t,
		Template: d.Template, MailingList: d.MailingList, Routes: d.Routes, Recipient: d.Recipient, RecipientDom: d.RecipientDom,
		Provider: d.Provider, Tags: d.Tags, Campaigns: d.Campaigns, UserVariables: d.UserVariables}}
	if d.Message != nil {
		r.Doc.Message = &Message{Headers: Headers{MessageID: d.Message.Headers.MessageID}, Attachments: []Attachment{}}
	}
	return r
}
