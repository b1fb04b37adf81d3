package compat

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	netmail "net/mail"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/mailgun/mailgun-go/v5"
	"github.com/mailgun/mailgun-go/v5/events"
	"github.com/mailgun/mailgun-go/v5/mtypes"
)

// trackingHost is where links of mail from the domain lead, by default.
const trackingHost = "email." + domain

// engaged is a server with HTTPS on the tracking host, and what reaches it by name.
type engaged struct {
	*server
	t     *testing.T
	https string // address of the listener
	roots *x509.CertPool
	web   *http.Client // whose names all lead to the server
}

// engage starts a server whose domain tracks everything, set up by mailgun-go.
func engage(t *testing.T) *engaged {
	t.Helper()
	e := &engaged{t: t, https: freeAddr(t), roots: x509.NewCertPool()}
	cert, key := e.certificate()
	e.server = start(t, "serve", "--https", e.https, "--tls-cert", cert, "--tls-key", key)
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		if strings.HasPrefix(addr, trackingHost+":") {
			addr = e.https
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	transport := &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: e.roots}}
	t.Cleanup(transport.CloseIdleConnections)
	e.web = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ctx, scheme := t.Context(), "https"
	for what, err := range map[string]error{
		"scheme":       e.mg.UpdateDomain(ctx, domain, &mailgun.UpdateDomainOptions{WebScheme: scheme}),
		"opens":        e.mg.UpdateOpenTracking(ctx, domain, "yes"),
		"clicks":       e.mg.UpdateClickTracking(ctx, domain, "yes"),
		"unsubscribes": e.mg.UpdateUnsubscribeTracking(ctx, domain, "yes", `<p><a id="leave" href="%unsubscribe_url%">leave</a></p>`, "\nleave: %unsubscribe_url%\n"),
	} {
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	return e
}

// certificate makes one for the tracking host, which e.roots trusts.
func (e *engaged) certificate() (cert, key string) {
	e.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		e.t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{trackingHost, "mx.example.org"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	if err != nil {
		e.t.Fatal(err)
	}
	pkcs, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		e.t.Fatal(err)
	}
	dir := e.t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	e.roots.AppendCertsFromPEM(text)
	for name, b := range map[string][]byte{cert: text, key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs})} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			e.t.Fatal(err)
		}
	}
	return cert, key
}

// js runs a call of mailgun.js and returns its result.
func (e *engaged) js(call string, out any) {
	e.t.Helper()
	nodeModules(e.t, "node")
	script := `import Mailgun from 'mailgun.js';
const { POSTROAD_URL: url, POSTROAD_KEY: key } = process.env;
const mg = new Mailgun(FormData).client({ username: 'api', key, url });
process.stdout.write(JSON.stringify(await (` + call + `)));`
	cmd := exec.Command("node", "--input-type=module", "-e", script)
	cmd.Dir = "node"
	cmd.Env = append(os.Environ(), "POSTROAD_URL="+e.base, "POSTROAD_KEY="+e.key)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	b, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(b, out)
	}
	if err != nil {
		e.t.Fatalf("mailgun.js: %v\n%s%s", err, b, stderr.String())
	}
}

// event waits for the one event of a type about a recipient.
func (e *engaged) event(name, recipient string) events.Event {
	e.t.Helper()
	var found events.Event
	eventually(e.t, name+" for "+recipient, func() error {
		list := e.events(name, recipient)
		if len(list) != 1 {
			return fmt.Errorf("%d events", len(list))
		}
		found = list[0]
		return nil
	})
	return found
}

func (e *engaged) events(name, recipient string) (out []events.Event) {
	e.t.Helper()
	it := e.mg.ListEvents(domain, &mailgun.ListEventOptions{Filter: map[string]string{"event": name, "recipient": recipient}})
	var page []events.Event
	for it.Next(e.t.Context(), &page) {
		out = append(out, page...)
	}
	if err := it.Err(); err != nil {
		e.t.Fatal(err)
	}
	return out
}

// parts returns the text and the HTML of a delivered message.
func parts(t *testing.T, raw []byte) (h netmail.Header, text, html string) {
	t.Helper()
	m, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	for r := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return m.Header, text, html
		}
		if err != nil {
			t.Fatal(err)
		}
		var body io.Reader = p
		if strings.EqualFold(p.Header.Get("Content-Transfer-Encoding"), "quoted-printable") {
			body = quotedprintable.NewReader(p)
		}
		b, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(p.Header.Get("Content-Type"), "text/html") {
			html = string(b)
		} else {
			text = string(b)
		}
	}
}

// browser is the recipient's: names lead to the server, and it trusts its
// certificate.
func (e *engaged) browser() context.Context {
	e.t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil && os.Getenv("POSTROAD_TEST_PEERS") != "" {
		e.t.Fatal(err)
	} else if err != nil {
		e.t.Skip(err)
	}
	alloc, stopAlloc := chromedp.NewExecAllocator(e.t.Context(), chromedp.ExecPath(path), chromedp.UserDataDir(e.t.TempDir()), chromedp.Headless,
		chromedp.Flag("no-sandbox", true), chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("no-proxy-server", true), chromedp.Flag("ignore-certificate-errors", true),
		chromedp.Flag("host-resolver-rules", "MAP "+trackingHost+" 127.0.0.1"), chromedp.WSURLReadTimeout(time.Minute),
		chromedp.UserAgent("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"))
	ctx, stop := chromedp.NewContext(alloc)
	e.t.Cleanup(func() { stop(); stopAlloc() })
	if err := chromedp.Do(ctx); err != nil { // starts it, so that no step's limit ends it
		e.t.Fatal(err)
	}
	return ctx
}

// mailbox shows a message as a web mailer does, and the site its link is to.
func mailbox(t *testing.T, html func() string) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if r.URL.Path == "/mail" {
			io.WriteString(w, html())
			return
		}
		fmt.Fprintf(w, "<title>the shop</title><p id=shop>%s", r.URL.RequestURI())
	}))
	t.Cleanup(s.Close)
	return s
}

// TestFromSendToSuppression goes the whole way of a message: sent by mailgun.js,
// opened and clicked in a browser, left by the browser's page and by one click
// (RFC 8058), and not sent again by mailgun-go.
func TestFromSendToSuppression(t *testing.T) {
	e := engage(t)
	const ann, bob = "ann@example.net", "bob@example.net"
	body := ""
	site := mailbox(t, func() string { return body })
	target := site.URL + "/shop?a=1&b=%C3%BC#top"
	const template = `<html><body><p>Hello</p><a id=\"buy\" href=\"%s\">buy</a> <a href=\"mailto:x@example.com\">write</a></body></html>`
	var sent struct{ ID, Message string }
	e.js(fmt.Sprintf(`mg.messages.create('%s', {from: 'Shop <shop@%s>', to: ['%s', '%s'], subject: 'News', text: 'See %s', html: "%s", 'o:tag': ['news']})`,
		domain, domain, ann, bob, target, fmt.Sprintf(template, strings.ReplaceAll(target, "&", "&amp;"))), &sent)
	if sent.Message != "Queued. Thank you." {
		t.Fatalf("%+v", sent)
	}

	raw := e.out.wait(t, ann).data
	header, text, html := parts(t, raw)
	body = html
	own := "https://" + trackingHost + e.https[strings.LastIndexByte(e.https, ':'):]
	if strings.Contains(html, target) || strings.Contains(text, target) || strings.Count(html, own+"/c/") != 1 || strings.Count(text, own+"/c/") != 1 ||
		strings.Count(html, own+"/o/") != 1 || !strings.Contains(html, `<a href="mailto:x@example.com">`) {
		t.Fatalf("not rewritten:\n%s\n%s", text, html)
	}
	if _, _, other := parts(t, e.out.wait(t, bob).data); other == html {
		t.Fatal("two recipients got the same copy")
	}
	signed := regexp.MustCompile(`(?is)\bh=([^;]*)`).FindStringSubmatch(header.Get("DKIM-Signature"))
	if header.Get("List-Unsubscribe-Post") != "List-Unsubscribe=One-Click" || signed == nil ||
		!strings.Contains(strings.ToLower(signed[1]), "list-unsubscribe:") || !strings.Contains(strings.ToLower(signed[1]), "list-unsubscribe-post") {
		t.Fatalf("one click is not offered, or not signed: %v", header)
	}

	tab := e.browser()
	run(t, tab, chromedp.Navigate(site.URL+"/mail"))
	opened := e.event(events.EventOpened, ann).(*events.Opened)
	if opened.ClientInfo.ClientName == "" || opened.IP == "" || opened.Message.Headers.MessageID != strings.Trim(sent.ID, "<>") {
		t.Errorf("opened: %+v", opened)
	}
	run(t, tab, chromedp.Click(chromedp.CSS("#buy")), chromedp.WaitVisible(chromedp.CSS("#shop")))
	where, err := chromedp.Run(tab, chromedp.Evaluate[string]("location.href"))
	if err != nil || where != target {
		t.Fatalf("the link led to %q, want %q: %v", where, target, err)
	}
	if clicked := e.event(events.EventClicked, ann).(*events.Clicked); clicked.Url != target {
		t.Errorf("clicked %q", clicked.Url)
	}

	// Programs that follow links unsubscribe nobody.
	leave := regexp.MustCompile(`<(https:[^>]+)>`).FindStringSubmatch(header.Get("List-Unsubscribe"))
	if leave == nil {
		t.Fatalf("List-Unsubscribe: %s", header.Get("List-Unsubscribe"))
	}
	e.ask("GET", leave[1], "")
	e.ask("HEAD", leave[1], "")
	run(t, tab, chromedp.Navigate(site.URL+"/mail"), chromedp.Click(chromedp.CSS("#leave")), chromedp.WaitVisible(chromedp.CSS("form button")))
	if list := e.events(events.EventUnsubscribed, ann); len(list) != 0 {
		t.Fatalf("a look at the page unsubscribed: %+v", list)
	}
	run(t, tab, chromedp.Click(chromedp.CSS("form button")))
	e.event(events.EventUnsubscribed, ann)

	// The other recipient's mail program does it with one click, twice.
	other, _, _ := parts(t, e.out.wait(t, bob).data)
	leave = regexp.MustCompile(`<(https:[^>]+)>`).FindStringSubmatch(other.Get("List-Unsubscribe"))
	for range 2 {
		e.ask("POST", leave[1], "List-Unsubscribe=One-Click")
	}
	e.event(events.EventUnsubscribed, bob)

	var listed mtypes.Unsubscribe
	if listed, err = e.mg.GetUnsubscribe(t.Context(), domain, ann); err != nil || len(listed.Tags) != 1 || listed.Tags[0] != "*" {
		t.Errorf("%+v %v", listed, err)
	}
	var js struct{ Items []struct{ Address string } }
	e.js("mg.suppressions.list('"+domain+"', 'unsubscribes')", &js)
	if len(js.Items) != 2 || js.Items[0].Address != ann || js.Items[1].Address != bob {
		t.Errorf("mailgun.js lists %+v", js)
	}

	for _, to := range []string{ann, bob} {
		if _, err := e.mg.Send(t.Context(), mailgun.NewMessage(domain, "shop@"+domain, "More news", "text", to)); err != nil {
			t.Fatal(err)
		}
		failed := e.event(events.EventFailed, to).(*events.Failed)
		if failed.Reason != "suppress-unsubscribe" || failed.DeliveryStatus.Code != 606 || failed.Severity != "permanent" {
			t.Errorf("%s: %+v", to, failed)
		}
		e.out.wait(t, to) // the first message is still the only one
	}
}

// ask makes a request as a mail program does and wants status 200.
func (e *engaged) ask(method, to, body string) {
	e.t.Helper()
	if _, err := url.Parse(to); err != nil {
		e.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(e.t.Context(), method, to, strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := e.web.Do(req)
	if err != nil {
		e.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(resp.Body)
		e.t.Fatalf("%s %s: %s %s", method, to, resp.Status, b)
	}
}

func run(t *testing.T, ctx context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
	}
}
