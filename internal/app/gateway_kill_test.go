package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postroad/internal/apptest"
	"postroad/internal/cli"
)

// gatewayChild makes the test binary the program, so that it can be killed.
const gatewayChild = "POSTROAD_GATEWAY_CHILD"

func TestMain(m *testing.M) {
	if args := os.Getenv(gatewayChild); args != "" {
		os.Exit(cli.Main(cli.Env{Args: strings.Split(args, " "), Stdin: os.Stdin, Stdout: io.Discard, Stderr: os.Stderr, Version: "test"}))
	}
	os.Exit(m.Run())
}

// victim is a program that gets killed.
type victim struct {
	t    *testing.T
	url  string
	args string
	data string
	log  bytes.Buffer
	cmd  *exec.Cmd
}

func (v *victim) start() {
	v.t.Helper()
	v.cmd = exec.Command(os.Args[0])
	v.cmd.Env = append(os.Environ(), gatewayChild+"="+v.args)
	v.cmd.Stderr = &v.log
	if err := v.cmd.Start(); err != nil {
		v.t.Fatal(err)
	}
	v.until("it is ready", func() bool {
		res, err := http.Get(v.url + "/readyz")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

// kill is kill -9.
func (v *victim) kill() {
	if v.cmd.Process.Kill() == nil {
		_ = v.cmd.Wait() // it was killed: that is its error
	}
	http.DefaultClient.CloseIdleConnections()
}

func (v *victim) until(what string, ok func() bool) {
	v.t.Helper()
	limit, look := time.NewTimer(time.Minute), time.NewTicker(2*time.Millisecond)
	defer limit.Stop()
	defer look.Stop()
	for !ok() {
		select {
		case <-look.C:
		case <-limit.C:
			v.t.Fatalf("waited in vain until %s", what)
		}
	}
}

func (v *victim) ask(method, path, body string, out any) {
	v.t.Helper()
	req, err := http.NewRequest(method, v.url+path, bytes.NewReader([]byte(body)))
	if err != nil {
		v.t.Fatal(err)
	}
	req.SetBasicAuth("api", "key-test")
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || json.Unmarshal(text, out) != nil {
		v.t.Fatalf("%s %s: %v %d %.300s", method, path, err, res.StatusCode, text)
	}
}

// TestGatewayKilled: a campaign through the local platform, whose program is killed
// again and again, reaches everybody once.
func TestGatewayKilled(t *testing.T) {
	const people, kills = 16_000, 4
	addr := fmt.Sprintf("127.0.0.1:%d", apptest.FreePort(t))
	v := &victim{t: t, url: "http://" + addr, data: t.TempDir()}
	v.args = "dev --data " + v.data + " --http " + addr + " --https off --smtp off --admin-key key-test --log-level debug"
	v.start()
	defer func() { v.kill() }()
	list := make([]string, people)
	for i := range list {
		list[i] = fmt.Sprintf(`{"email":"u%d@example.net","variables":{"name":"N%d"}}`, i, i)
	}
	var made, state struct {
		Campaign struct {
			UUID, Status string
			Progress     struct{ Sent, Failed int }
		}
	}
	v.ask("POST", "/api/email/campaigns", `{"driver":"mailgun","api_key":"key-test","name":"C","from":"a@example.com","template_subject":"Hi {{name}}",
		"template_url":"`+templates(t)+`/newsletter.html","recipients":[`+strings.Join(list, ",")+`]}`, &made)
	path := "/api/email/campaigns/" + made.Campaign.UUID
	v.ask("POST", path+"/send", "", new(any))
	for n := range kills {
		before := state.Campaign.Progress.Sent
		v.until("a batch is sent", func() bool {
			v.ask("GET", path, "", &state)
			return state.Campaign.Progress.Sent > before || state.Campaign.Status == "completed"
		})
		t.Logf("killed after %d", state.Campaign.Progress.Sent)
		if n == 0 && state.Campaign.Status == "completed" {
			t.Fatal("too fast to be killed")
		}
		v.kill()
		v.keepsNoKey()
		v.start()
	}
	v.until("the campaign is completed", func() bool {
		v.ask("GET", path, "", &state)
		return state.Campaign.Status == "completed"
	})
	if state.Campaign.Progress.Sent != people || state.Campaign.Progress.Failed != 0 {
		t.Errorf("%+v", state)
	}
	copies := v.accepted("example.com")
	if len(copies) != people {
		t.Errorf("%d got mail, want %d", len(copies), people)
	}
	for to, n := range copies {
		if n != 1 {
			t.Fatalf("%s got %d", to, n)
		}
	}
}

// keepsNoKey: a killed program has left the provider's key in no file and no log.
func (v *victim) keepsNoKey() {
	v.t.Helper()
	files := 0
	err := filepath.WalkDir(v.data, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		files++
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte("key-test")) {
			v.t.Errorf("%s has the key", path)
		}
		return err
	})
	if err != nil || files < 4 {
		v.t.Fatal(files, err)
	}
	if text := v.log.String(); !strings.Contains(text, "/api/email/campaigns") || strings.Contains(text, "key-test") {
		v.t.Errorf("the log has the key, or no request:\n%.2000s", text)
	}
}

// accepted counts the messages each recipient gets, over all pages of events.
func (v *victim) accepted(domain string) map[string]int {
	out := map[string]int{}
	for path := "/v3/" + domain + "/events?event=accepted&limit=300"; ; {
		var page struct {
			Items  []struct{ Recipient string }
			Paging struct{ Next string }
		}
		v.ask("GET", path, "", &page)
		if len(page.Items) == 0 {
			return out
		}
		for _, i := range page.Items {
			out[i.Recipient]++
		}
		path = strings.TrimPrefix(page.Paging.Next, v.url)
	}
}
