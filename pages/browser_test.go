package pages_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"callvault"
	"callvault/database/databasetest"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// lacking skips a test for which something is not installed, or fails it if everything
// must be tested.
func lacking(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CALLVAULT_TEST_ALL") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// browser is a real, headless browser.
type browser struct {
	*world
	ctx context.Context
}

// openBrowser starts a Chromium, which follows the link unless it is "". The test fails if
// a script throws an exception or is refused by the page's policy.
func (w *world) openBrowser(link string) *browser {
	w.Helper()
	if databasetest.Second() {
		w.Skip("what a browser makes of a page is the same over either database")
	}
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil && path == "" {
			path = found
		}
	}
	if path == "" {
		lacking(w.T, "no Chromium: apt-get install chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(w.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("lang", "en-GB"),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"), chromedp.WSURLReadTimeout(time.Minute),
	)
	ctx, stop := chromedp.NewExecAllocator(context.Background(), options...)
	w.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(ctx)
	w.Cleanup(cancel)
	err := chromedp.Listen(ctx, func(event any) {
		if thrown, ok := event.(*runtime.EventExceptionThrown); ok {
			w.Errorf("a script threw: %v", thrown.ExceptionDetails)
		}
	})
	if err = errors.Join(err, chromedp.Do(ctx, chromedp.Navigate("about:blank"))); err != nil {
		w.Fatal(err)
	}
	ctx, cancel = context.WithTimeout(ctx, 10*time.Minute)
	w.Cleanup(cancel)
	b := &browser{w, ctx}
	b.size(1280, false)
	if link != "" {
		b.do(chromedp.Navigate(link), chromedp.WaitReady("main"))
	}
	return b
}

// do runs the actions, and ends the test if one fails.
func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.lost(err)
	}
}

// patience is how long a step may take on a busy machine.
const patience = time.Minute

// lost ends the test and logs what the browser shows.
func (b *browser) lost(err error) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 3*time.Second)
	defer cancel()
	at, _ := chromedp.Run(ctx, chromedp.Location())
	page, _ := chromedp.Run(ctx, chromedp.Text("main"))
	b.Fatalf("%v, at %s:\n%.1500s", err, at, page)
}

// open goes to a path of the pages.
func (b *browser) open(path string) {
	b.Helper()
	b.do(chromedp.Navigate(b.url+path), chromedp.WaitReady("main"))
}

// size sets the width of the window and the preferred colour scheme.
func (b *browser) size(width int64, dark bool) {
	b.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	height := max(800, width*9/16)
	b.do(chromedp.EmulateViewport(width, height))
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme},
		{Name: "prefers-reduced-motion", Value: "reduce"}} // no colour is looked at half-way
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}); err != nil {
		b.Fatal(err)
	}
}

// withoutScripts switches the page's own scripts off; eval still works.
func (b *browser) withoutScripts() {
	b.Helper()
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		b.Fatal(err)
	}
}

// eval returns the result of a script in the page.
func eval[T any](b *browser, script string) T {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		b.lost(err)
	}
	return value
}

// until waits until a script returns true in the page.
func (b *browser) until(script string) {
	b.Helper()
	for deadline := time.Now().Add(patience); !eval[bool](b, script); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.lost(fmt.Errorf("this did not come true: %s", script))
		}
	}
}

// widths are the widths at which pages are inspected: a telephone, a desk, a wall.
var widths = []int64{360, 1280, 3840}

// inspect checks the open page at all widths and in both colour schemes: axe finds
// nothing, nothing is wider than the window, and the page loads less than 100 KB. If
// CALLVAULT_SHOTS names a folder, it puts screenshots there.
func (b *browser) inspect(name string) {
	b.Helper()
	axe := axeSource(b.T)
	for _, width := range widths {
		for _, dark := range []bool{false, true} {
			b.size(width, dark)
			where := fmt.Sprintf("%s at %d px, dark %t", name, width, dark)
			if over := eval[int64](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
				b.Errorf("%s: the page is %d px wider than the window", where, over)
			}
			b.shoot(fmt.Sprintf("%s-%d-%t", name, width, dark))
			if axe != "" {
				b.axe(where, axe)
			}
		}
	}
	b.size(1280, false)
	b.weigh(name)
}

// weigh checks that the page loads at most 100 KB, not counting audio.
func (b *browser) weigh(name string) {
	b.Helper()
	const most = 100_000
	bytes := eval[float64](b, `[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
		.filter(e => !e.name.includes("/audio")).reduce((sum, e) => sum + (e.encodedBodySize || 0), 0)`)
	if bytes > most {
		b.Errorf("%s: the page is %.0f bytes; %d are allowed", name, bytes, most)
	}
}

func (b *browser) shoot(name string) {
	b.Helper()
	dir := os.Getenv("CALLVAULT_SHOTS")
	if dir == "" {
		return
	}
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err = errors.Join(err, os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644)); err != nil {
		b.Fatal(err)
	}
}

// axe runs axe-core in the page and reports what it finds as errors.
func (b *browser) axe(where, source string) {
	b.Helper()
	if !eval[bool](b, `typeof axe !== "undefined"`) {
		b.do(chromedp.Evaluate[chromedp.Void](source))
	}
	found := eval[string](b, `axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify(r.violations.map(v =>
		({id: v.id, help: v.help, nodes: v.nodes.slice(0, 4).map(n => n.html.slice(0, 200) + " — " + n.failureSummary)}))))`)
	var violations []struct {
		ID, Help string
		Nodes    []string
	}
	if err := json.Unmarshal([]byte(found), &violations); err != nil {
		b.Fatal(err)
	}
	for _, v := range violations {
		b.Errorf("%s: %s: %s\n  %s", where, v.ID, v.Help, strings.Join(v.Nodes, "\n  "))
	}
}

// axeSource returns axe-core, which .ci/run fetches from the npm registry and names in
// CALLVAULT_AXE, or "" if it is not there, which is logged.
func axeSource(t *testing.T) string {
	t.Helper()
	source, err := readAxe()
	switch {
	case err == nil:
		return source
	case os.Getenv("CALLVAULT_TEST_ALL") == "1":
		t.Fatal(err)
	}
	t.Logf("the page is not held against axe-core: %v", err)
	return ""
}

var readAxe = sync.OnceValues(func() (string, error) {
	path := os.Getenv("CALLVAULT_AXE")
	if path == "" {
		return "", errors.New("CALLVAULT_AXE does not name axe.min.js (npm pack axe-core@4.14.1)")
	}
	text, err := os.ReadFile(path)
	return string(text), err
})

// TestFrameInTheBrowser opens the pages for administrators and inspects them.
func TestFrameInTheBrowser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.openBrowser("")
	b.open("/sign-in")
	b.inspect("sign-in")
	b.open("/nowhere")
	b.inspect("nowhere")
	link := w.addPerson("Ada Admin", callvault.Grant{AllTenants: true}, callvault.Listen, callvault.Download, callvault.Admin)
	b.do(chromedp.Navigate(link), chromedp.WaitReady("main"))
	w.addUser("robot", callvault.Read, callvault.Write)
	for _, path := range []string{"/admin/tenants", "/admin/tenants/acme-ns", "/admin/users", "/admin/users/new/person",
		"/admin/users/new/service-user", "/admin/users/service-user/robot", "/admin/users/service-user/robot/remove", "/audit"} {
		b.open(path)
		b.inspect(strings.ReplaceAll(strings.Trim(path, "/"), "/", "-"))
	}
}
