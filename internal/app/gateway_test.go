package app_test

import (
	"encoding/json"
	"testing"

	"postroad/internal/config"
)

// gatewayExample is a request of the document of the API as it stands there.
func TestGatewayRough(t *testing.T) {
	s := newStage(t, config.Serve)
	s.run(t, []probe{
		{as: "nobody", path: "/api/email/send", json: `{ "driver": "mailgun", "api_key": "` + s.Key + `", "from": "sender@example.com", "from_name": "Sender Name", "to": "recipient@example.com", "subject": "Hello {{name}}!", "html": "<h1>Hi {{name}}, your code is {{code}}</h1>", "text": "Hi {{name}}, your code is {{code}}", "replyTo": "reply@example.com", "cc": ["cc@example.com"], "bcc": ["bcc@example.com"], "tags": ["tag1", "tag2"], "variables": { "name": "John Doe", "code": "12345" }, "metadata": { "campaign_id": 123, "participant_id": 456, "custom_field": "tracking_value" } }`,
			want: `{"success":true,"driverName":"mailgun","externalId":"**@example.com","message":"Email sent successfully","recipients":1}`},
		{as: "nobody", path: "/api/email/send", json: `{}`, status: 400, want: `{"error":"driver, api_key, from, to, subject, and text or html are required"}`},
	})
	_ = json.Valid
}
