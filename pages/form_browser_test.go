package pages_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"callvault"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestDoubleClick: a second click does not send a form again while it is on its way. The
// second answer would replace the one that shows the key.
func TestDoubleClick(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var forms atomic.Int64
	asked := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && forms.Add(1) == 1 {
			asked <- struct{}{}
			<-asked
		}
		w.pages.ServeHTTP(out, r)
	}))
	t.Cleanup(slow.Close)
	b := w.openBrowser(w.addPerson("Ada", callvault.Grant{AllTenants: true}, callvault.Listen, callvault.Admin))
	b.url = slow.URL
	b.open("/admin/users/new/service-user")
	b.do(chromedp.SetValue("#name", "robot"), chromedp.Click("[name=reach]"), chromedp.Evaluate[chromedp.Void](`{
		const button = document.querySelector("main form .button.primary");
		for (const after of [10, 200]) setTimeout(() => button.click(), after);
		setTimeout(() => { document.title = "clicked"; }, 300);
	}`))
	<-asked
	time.Sleep(time.Second / 2) // both clicks are done: a page that is being left answers no question
	asked <- struct{}{}
	b.until(`!!document.querySelector("#secret")?.textContent.startsWith("cvk_")`)
	if n := forms.Load(); n != 1 {
		t.Errorf("%d forms were sent", n)
	}
}

// TestCopyOverPlainHTTP: the copy button also works where browsers give scripts no
// clipboard.
func TestCopyOverPlainHTTP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.openBrowser(w.addPerson("Ada", callvault.Grant{AllTenants: true}, callvault.Listen, callvault.Admin))
	without := page.AddScriptToEvaluateOnNewDocumentParams{Source: `Object.defineProperty(navigator, "clipboard", {value: undefined});
		document.addEventListener("copy", () => { window.copied = getSelection().toString(); })`}
	if _, err := chromedp.Call(b.ctx, page.AddScriptToEvaluateOnNewDocument, without); err != nil {
		t.Fatal(err)
	}
	b.open("/admin/users/new/service-user")
	b.do(chromedp.SetValue("#name", "robot"), chromedp.Click("[name=reach]"), chromedp.Click("main form .button.primary"))
	b.until(`document.querySelector("[data-copy]")?.hidden === false`)
	b.do(chromedp.Click("[data-copy]"))
	b.until(`document.querySelector("[data-copy]").textContent === "Copied" && window.copied.trim() === document.getElementById("secret").textContent`)
	b.until(`document.querySelector("[data-copy]").textContent === "Copy"`)
}

// TestNoteIsNotLost: a note sent after the session had ended is back in its field after
// the sign-in.
func TestNoteIsNotLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.keep(recording("one", began), nil, clip().Audio)
	w.addUser("robot", callvault.Read)
	refreshed := func() string {
		t.Helper()
		key, err := w.accounts.RefreshUser(t.Context(), "robot", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	b := w.openBrowser("")
	b.open("/recordings/acme-ns/one")
	signIn := func(key string) {
		t.Helper()
		b.do(chromedp.Click("summary"), chromedp.SendKeys("#key", key+kb.Enter))
		b.until(`document.readyState === "complete" && !!document.querySelector("#text")`)
	}
	signIn(refreshed())
	const text = "a long thought\nof two lines"
	b.do(chromedp.SetValue("#text", text))
	key := refreshed()
	b.do(chromedp.Click("[data-note] .button"))
	b.until(`document.readyState === "complete" && !!document.querySelector("#key")`)
	signIn(key)
	b.until(`document.getElementById("text").value === ` + "`" + text + "`")
	b.do(chromedp.Click("[data-note] .button"))
	b.until(`document.querySelector(".note-text")?.textContent === ` + "`" + text + "`" + ` && document.getElementById("text").value === ""`)
	b.do(chromedp.Reload(), chromedp.WaitReady("main"))
	if left := eval[string](b, `document.getElementById("text").value`); strings.Contains(left, "thought") {
		t.Errorf("what arrived stands in the field: %q", left)
	}
}
