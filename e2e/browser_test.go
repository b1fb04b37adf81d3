package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// patience is how long a condition may take to come true; machines that run
// tests are often busy.
const patience = 60 * time.Second

// chromium is one browser process for all tests, started by the first.
var chromium struct {
	once sync.Once
	ctx  context.Context
	stop func()
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if chromium.stop != nil {
		chromium.stop()
	}
	os.Exit(code)
}

// executable finds the browser.
func executable() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no chromium in PATH")
}

func launch() {
	path, err := executable()
	if err != nil {
		chromium.err = err
		return
	}
	dir, err := os.MkdirTemp("", "postroad-e2e-")
	if err != nil {
		chromium.err = err
		return
	}
	alloc, stopAlloc := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path), chromedp.UserDataDir(dir), chromedp.Headless, chromedp.Flag("no-sandbox", true), chromedp.DisableGPU,
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("no-proxy-server", true),
		// Frames of a page report to the page's own session, so that the tests
		// hear what happens in a preview.
		chromedp.Flag("disable-features", "IsolateSandboxedIframes"),
		chromedp.WSURLReadTimeout(patience), chromedp.WindowSize(1440, 1000),
	)
	ctx, stop := chromedp.NewContext(alloc)
	chromium.ctx, chromium.err = ctx, chromedp.Do(ctx)
	chromium.stop = func() {
		stop()
		stopAlloc()
		os.RemoveAll(dir)
	}
}

// tab is one page in a browser profile of its own, and what was noticed there.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu      sync.Mutex
	console []string // what scripts wrote
	errors  []string // uncaught errors and errors the browser logged
	dialogs []string // alert, confirm, prompt
	blocked []string // directives of violated policies
}

// open gives the test a tab; the test is skipped where there is no browser.
func open(t *testing.T, with ...chromedp.Action[chromedp.Void]) *tab {
	t.Helper()
	chromium.once.Do(launch)
	if chromium.err != nil {
		if _, err := executable(); err != nil && os.Getenv("POSTROAD_TEST_PEERS") == "" {
			t.Skip(err)
		}
		t.Fatal(chromium.err)
	}
	ctx, cancel := chromedp.NewContext(chromium.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatal(err)
	}
	b.run(command(audits.Enable, cdp.Empty{}), chromedp.EmulateViewport(1440, 1000))
	b.run(with...)
	return b
}

// command is a step that sends one protocol command.
func command[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

func (b *tab) listen(ev any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch ev := ev.(type) {
	case *runtime.EventConsoleAPICalled:
		for _, a := range ev.Args {
			b.console = append(b.console, string(a.Value))
		}
	case *runtime.EventExceptionThrown:
		b.errors = append(b.errors, fmt.Sprintf("%s %+v", ev.ExceptionDetails.Text, ev.ExceptionDetails.Exception))
	case *log.EventEntryAdded:
		if ev.Entry.Level == log.EntryLevelError {
			b.errors = append(b.errors, fmt.Sprintf("%s: %s %s", ev.Entry.Source, ev.Entry.Text, ev.Entry.URL))
		}
	case *page.EventJavascriptDialogOpening:
		b.dialogs = append(b.dialogs, ev.Message)
		go func() { // the loop that called us carries the answer
			_, _ = chromedp.Call(b.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{})
		}()
	case *audits.EventIssueAdded:
		if d := ev.Issue.Details.ContentSecurityPolicyIssueDetails; d != nil {
			b.blocked = append(b.blocked, d.ViolatedDirective+" "+d.BlockedURL)
		}
	}
}

// noticed returns a copy of what was noticed.
func (b *tab) noticed() (console, errors, dialogs, blocked []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string{}, b.console...), append([]string{}, b.errors...), append([]string{}, b.dialogs...), append([]string{}, b.blocked...)
}

// clean fails the test if the panel's own pages did anything that a browser
// complains about.
func (b *tab) clean() {
	b.t.Helper()
	console, errors, dialogs, blocked := b.noticed()
	for name, list := range map[string][]string{"console": console, "error": errors, "dialog": dialogs, "blocked by policy": blocked} {
		if len(list) > 0 {
			b.t.Errorf("%s: %s", name, strings.Join(list, "\n\t"))
		}
	}
}

// limited is the tab's context with an end.
func (b *tab) limited(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(b.ctx, d)
}

// run performs steps within the patience.
func (b *tab) run(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := b.limited(patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("%v\n%s", err, b.state())
	}
}

// state describes the page for a failure.
func (b *tab) state() string {
	ctx, cancel := b.limited(10 * time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + (document.body?.innerText ?? "")`))
	if err != nil {
		return "page: " + err.Error()
	}
	return "page: " + text[:min(len(text), 3000)]
}

// wait calls ready until it reports true.
func (b *tab) wait(what string, ready func(ctx context.Context) (bool, error)) {
	b.t.Helper()
	ctx, cancel := b.limited(patience)
	defer cancel()
	look := time.NewTicker(40 * time.Millisecond)
	defer look.Stop()
	for {
		// A page that is being replaced cannot be asked: an error is no answer.
		ok, err := ready(ctx)
		if err == nil && ok {
			return
		}
		select {
		case <-ctx.Done():
			b.t.Fatalf("never: %s (%v)\n%s", what, err, b.state())
		case <-look.C:
		}
	}
}

// until waits until the JavaScript expression is true, across navigations.
func (b *tab) until(expression string) {
	b.t.Helper()
	b.wait(expression, func(ctx context.Context) (bool, error) {
		return chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
	})
}

// get evaluates an expression to a string.
func (b *tab) get(expression string) string {
	b.t.Helper()
	ctx, cancel := b.limited(patience)
	defer cancel()
	s, err := chromedp.Run(ctx, chromedp.Evaluate[string]("String("+expression+")"))
	if err != nil {
		b.t.Fatalf("%s: %v\n%s", expression, err, b.state())
	}
	return s
}

// visit opens a page and waits for it to load.
func (b *tab) visit(url string) {
	b.t.Helper()
	b.run(chromedp.Navigate(url))
}

// says waits until the element's text contains words.
func (b *tab) says(selector, words string) {
	b.t.Helper()
	b.until(fmt.Sprintf("document.querySelector(%s)?.textContent.replace(/\\s+/g, ' ').includes(%s)", quote(selector), quote(words)))
}

// at waits for a path (with query).
func (b *tab) at(prefix string) {
	b.t.Helper()
	b.until(fmt.Sprintf("(location.pathname + location.search).startsWith(%s) && document.readyState === 'complete'", quote(prefix)))
}

// click clicks the first visible match as a person does.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.run(chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// press types keys into whatever has the focus, once the page's script listens.
func (b *tab) press(keys string) {
	b.t.Helper()
	b.until(`document.documentElement.classList.contains("js")`)
	b.typeIn(keys)
}

// typeIn types keys. A page that handles a key keeps it from being typed, as
// with a real keyboard.
func (b *tab) typeIn(keys string) {
	b.t.Helper()
	for _, r := range keys {
		name := string(r)
		if name == kb.Enter {
			name = "Enter"
		}
		b.key(name, string(r))
	}
}

// escape presses the escape key.
func (b *tab) escape() {
	b.t.Helper()
	b.key("Escape", "")
}

func (b *tab) key(name, text string) {
	b.t.Helper()
	code := map[string]int64{"Enter": 13, "Escape": 27}[name]
	b.run(command(input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: name, Text: text, WindowsVirtualKeyCode: code}),
		command(input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyUp, Key: name, WindowsVirtualKeyCode: code}))
}

// frameSays waits until a frame within the page holds a text.
func (b *tab) frameSays(words string) {
	b.t.Helper()
	b.wait("a frame says "+words, func(ctx context.Context) (bool, error) {
		text, err := frameText(ctx)
		return strings.Contains(text, words), err
	})
}

// frameText is the text of all frames within the page.
func frameText(ctx context.Context) (string, error) {
	depth, pierce := int64(-1), true
	doc, err := chromedp.Call(ctx, dom.GetDocument, dom.GetDocumentParams{Depth: &depth, Pierce: &pierce})
	if err != nil {
		return "", err
	}
	var s strings.Builder
	frames(doc.Root, false, &s)
	return s.String(), nil
}

// frames collects the text of all frames within a node.
func frames(n *cdp.Node, inside bool, out *strings.Builder) {
	if inside && n.NodeType == textNode {
		out.WriteString(n.NodeValue)
	}
	for _, c := range n.Children {
		frames(c, inside, out)
	}
	if n.ContentDocument != nil {
		frames(n.ContentDocument, true, out)
	}
}

const textNode = 3

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return `""` // a Go string always has a JSON form
	}
	return string(b)
}

// noScripts turns JavaScript off for the pages of a tab.
func noScripts() chromedp.Action[chromedp.Void] {
	return command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
}

// saveTo lets the tab save files into a directory.
func (b *tab) saveTo(dir string) {
	b.t.Helper()
	_, err := chromedp.CallBrowser(b.ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior: browser.SetDownloadBehaviorBehaviorAllow, BrowserContextID: chromedp.FromContext(b.ctx).BrowserContextID, DownloadPath: dir})
	if err != nil {
		b.t.Fatal(err)
	}
}

// ctx keeps signatures short.
type ctx = context.Context

// mark leaves a trace in the page that a reload would remove.
func mark() chromedp.Action[chromedp.Void] {
	return chromedp.Evaluate[chromedp.Void]("void (window.marked = true)")
}
