package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"

	"postroad/internal/apptest"
	"postroad/internal/base/db/dbtest"
	"postroad/internal/config"
)

// BenchmarkGatewayBulk: 10,000 personalised recipients over HTTP through the whole
// program, until the answer: by then they are queued durably.
func BenchmarkGatewayBulk(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { benchmarkBulk(b, "") })
	b.Run("postgres", func(b *testing.B) { benchmarkBulk(b, dbtest.PostgresURL(b)) })
}

func benchmarkBulk(b *testing.B, url string) {
	s := apptest.Start(b, apptest.Options{Mode: config.Serve, DB: url, Args: []string{"--relay=*=smtp://127.0.0.1:9"}}) // nobody there
	s.AddDomain("example.com")
	for round := 0; b.Loop(); round++ {
		b.StopTimer()
		body := bulkBody(s.Key, 10_000, round)
		b.StartTimer()
		res, err := http.Post(s.URL+"/api/email/bulk", "application/json", bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		var out struct{ TotalEmails int }
		if err != nil || res.StatusCode != 200 || json.Unmarshal(text, &out) != nil || out.TotalEmails != 10_000 {
			b.Fatalf("%v %d %.500s", err, res.StatusCode, text)
		}
	}
}

func bulkBody(key string, n, round int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"driver":"mailgun","api_key":%q,"from":"sender@example.com","from_name":"Sender Name","subject":"Hello {{name}}!",
"html":"<h1>Hi {{name}}</h1><p>Your code is: {{code}}</p>","text":"Hi {{name}}, your code is: {{code}}","metadata":{"campaign_id":456},"tags":["bulk-send","campaign-2024"],"recipients":[`, key)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"email":"user%d-%d@example%d.net","variables":{"name":"Name %d","code":"C%08d"},"metadata":{"participant_id":%d}}`, round, i, i%50, i, i, i)
	}
	b.WriteString("]}")
	return b.Bytes()
}
