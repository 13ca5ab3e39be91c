package pages_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"callvault"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
)

// keepDownloads lets the browser keep what it downloads, and returns the folder.
func (b *browser) keepDownloads() (dir string) {
	b.Helper()
	dir = b.TempDir()
	_, err := chromedp.Call(b.ctx, cdpbrowser.SetDownloadBehavior, cdpbrowser.SetDownloadBehaviorParams{
		Behavior: cdpbrowser.SetDownloadBehaviorBehaviorAllow, DownloadPath: dir})
	if err != nil {
		b.Fatal(err)
	}
	return dir
}

// TestDownloadInTheBrowser: the audio becomes a file. A refusal or the sign-in page in its
// place is shown as a page and does not become one.
func TestDownloadInTheBrowser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.keep(recording("one", began), nil, clip().Audio)
	b := w.openBrowser(w.addPerson("Lena Listener", callvault.Grant{AllTenants: true}, callvault.Listen, callvault.Download))
	dir := b.keepDownloads()
	const opus, wav = `.player-links a[href$="/download"]`, `.player-links a[href$="=wav"]`
	b.open("/recordings/acme-ns/one")
	b.do(chromedp.Click(opus))
	file := filepath.Join(dir, "one.opus")
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if got, err := os.ReadFile(file); err == nil && bytes.Equal(got, clip().Audio) {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
	}
	b.until(`location.pathname === "/recordings/acme-ns/one" && !!document.querySelector(".player")`)

	limit := int64(100)
	w.limitEgress("acme-ns", &limit)
	b.do(chromedp.Click(wav))
	b.until(`document.querySelector("main")?.innerText.includes("the whole egress limit of tenant acme-ns") === true`)
	b.open("/recordings/acme-ns/one")
	if err := w.accounts.RemovePerson(t.Context(), "Lena Listener"); err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.Click(wav))
	b.until(`location.pathname === "/sign-in" && document.querySelector("main")?.innerText.includes("Your session has ended") === true`)
	if to := eval[string](b, `document.querySelector("[name=to]").value`); to != "/recordings/acme-ns/one" {
		t.Errorf("the sign-in leads to %s", to)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("the files are %v, %v", files, err)
	}
}
