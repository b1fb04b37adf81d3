package event

import (
	"strings"
)

// LogItem is an event as the logs API shows it: the document with names in
// another form. Members are in the order of the documented schema.
type LogItem struct {
	ID             string          `json:"id"`
	Event          Type            `json:"event"`
	Timestamp      string          `json:"@timestamp"`
	Account        logAccount      `json:"account"`
	Campaigns      []logCampaign   `json:"campaigns,omitempty"`
	Tags           []string        `json:"tags,omitempty"`
	Method         string          `json:"method,omitempty"`
	OriginatingIP  string          `json:"originating-ip,omitempty"`
	APIKeyID       string          `json:"api-key-id,omitempty"`
	DeliveryStatus *DeliveryStatus `json:"delivery-status,omitempty"`
	Domain         logDomain       `json:"domain"`
	Recipient      string          `json:"recipient,omitempty"`
	RecipientDom   string          `json:"recipient-domain,omitempty"`
	Provider       string          `json:"recipient-provider,omitempty"`
	Envelope       *Envelope       `json:"envelope,omitempty"`
	Storage        *logStorage     `json:"storage,omitempty"`
	Template       *Template       `json:"template,omitempty"`
	LogLevel       string          `json:"log-level,omitempty"`
	UserVariables  string          `json:"user-variables"`
	Message        *Message        `json:"message,omitempty"`
	Flags          *logFlags       `json:"flags,omitempty"`
	IP             string          `json:"ip,omitempty"`
	Geolocation    *Geolocation    `json:"geolocation,omitempty"`
	ClientInfo     *ClientInfo     `json:"client-info,omitempty"`
	Severity       string          `json:"severity,omitempty"`
	Reason         string          `json:"reason,omitempty"`
	Reject         *Reject         `json:"reject,omitempty"`
	Batch          *Batch          `json:"batch,omitempty"`
	MailingList    *MailingList    `json:"mailing-list,omitempty"`
	URL            string          `json:"url,omitempty"`
}

type logAccount struct {
	ID string `json:"id"`
}

type logDomain struct {
	Name string `json:"name"`
}

type logCampaign struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// logStorage: Mailgun: the URL is an array here.
type logStorage struct {
	Region string   `json:"region"`
	Env    string   `json:"env"`
	Key    string   `json:"key"`
	URL    []string `json:"url"`
}

// logFlags: Mailgun: all members but the rare ones are always there.
type logFlags struct {
	IsAuthenticated bool `json:"is-authenticated"`
	IsSystemTest    bool `json:"is-system-test"`
	IsRouted        bool `json:"is-routed"`
	IsTestMode      bool `json:"is-test-mode"`
	IsDelayedBounce bool `json:"is-delayed-bounce"`
	IsCallback      bool `json:"is-callback"`
}

// logTime is ISO 8601 with milliseconds.
const logTime = "2006-01-02T15:04:05.000Z"

func logItem(d *Doc, accountID, domainName string) LogItem {
	l := LogItem{
		ID: d.ID, Event: d.Event, Timestamp: d.Timestamp.Time().Format(logTime),
		Account: logAccount{accountID}, Domain: logDomain{domainName},
		Tags: d.Tags, Method: strings.ToUpper(d.Method), OriginatingIP: d.OriginatingIP, APIKeyID: d.APIKeyID,
		DeliveryStatus: d.DeliveryStatus, Recipient: d.Recipient, RecipientDom: d.RecipientDom, Provider: d.Provider,
		Envelope: d.Envelope, Template: d.Template, LogLevel: d.LogLevel, UserVariables: string(d.UserVariables),
		Message: d.Message, IP: d.IP, Geolocation: d.Geolocation, ClientInfo: d.ClientInfo, Severity: d.Severity,
		Reason: d.Reason, Reject: d.Reject, Batch: d.Batch, MailingList: d.MailingList, URL: d.URL,
	}
	for _, c := range d.Campaigns {
		l.Campaigns = append(l.Campaigns, logCampaign{c, c})
	}
	if d.Storage != nil {
		l.Storage = &logStorage{Region: d.Storage.Region, Env: d.Storage.Env, Key: d.Storage.Key, URL: []string{d.Storage.URL}}
	}
	if f := d.Flags; f != nil {
		l.Flags = &logFlags{IsAuthenticated: f.IsAuthenticated, IsSystemTest: f.IsSystemTest, IsRouted: f.IsRouted,
			IsTestMode: f.IsTestMode, IsDelayedBounce: f.IsDelayedBounce}
	}
	return l
}
