package pages_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"callvault"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// tabTo presses the Tab key until the selected element has the focus, and checks that the
// focus is visible.
func (b *browser) tabTo(selector string) {
	b.Helper()
	for range 60 {
		b.do(chromedp.KeyEvent(kb.Tab))
		if eval[bool](b, `document.activeElement.matches(`+"`"+selector+"`"+`)`) {
			if !eval[bool](b, `getComputedStyle(document.activeElement).outlineStyle !== "none"`) {
				b.Errorf("%s has the focus, which is not seen", selector)
			}
			return
		}
	}
	b.Fatalf("the Tab key does not lead to %s", selector)
}

// press types keys and waits for the page that follows.
func (b *browser) press(keys, path string) {
	b.Helper()
	b.do(chromedp.KeyEvent(keys))
	b.until(`location.pathname === "` + path + `" && document.readyState === "complete"`)
}

// TestKeyIsMadeAndUsedByKeyboard makes a service user by keyboard alone, signs
// out, and signs in with the key.
func TestKeyIsMadeAndUsedByKeyboard(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.openBrowser(w.addPerson("Ada", callvault.Grant{AllTenants: true}, callvault.Listen, callvault.Admin))
	b.open("/admin/users")
	b.do(chromedp.KeyEvent(kb.Tab))
	if !eval[bool](b, `document.activeElement.matches(".skip")`) {
		t.Error("the first stop is not the way to the content")
	}
	b.tabTo(`a[href="/admin/users/new/service-user"]`)
	b.press(kb.Enter, "/admin/users/new/service-user")
	b.tabTo("#name")
	b.do(chromedp.KeyEvent("robot"))
	b.tabTo(`input[name=reach]`)
	b.do(chromedp.KeyEvent(kb.ArrowUp)) // from the marked ones to all
	b.tabTo("main form .button.primary")
	b.do(chromedp.KeyEvent(kb.Enter), chromedp.WaitReady("#secret"))
	key := eval[string](b, `document.getElementById("secret").textContent`)
	b.inspect("secret")
	if caller, err := w.accounts.Authenticate(t.Context(), key, time.Now()); err != nil || !caller.AllTenants {
		t.Fatalf("the key %q: %+v, %v", key, caller, err)
	}
	b.do(chromedp.Reload(), chromedp.WaitReady("main"))
	if text := eval[string](b, `document.body.textContent`); strings.Contains(text, "cvk_") {
		t.Errorf("the key is shown again: %s", text)
	}
	b.open("/usage")
	b.tabTo(".me button")
	b.press(kb.Enter, "/sign-in")
	b.tabTo("summary")
	b.do(chromedp.KeyEvent(kb.Enter))
	b.tabTo("#key")
	b.do(chromedp.KeyEvent(key))
	b.press(kb.Enter, "/recordings")
	if who := eval[string](b, `document.querySelector(".me-name").textContent`); who != "robot" {
		t.Errorf("signed in is %q", who)
	}
}

// TestServiceRestartsUnderALivePage stops the service and starts it again: a banner says
// so, and goes away by itself.
func TestServiceRestartsUnderALivePage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := httptest.NewServer(w.pages)
	defer first.Close()
	b := w.openBrowser("")
	b.do(chromedp.Navigate(first.URL+"/sign-in"), chromedp.WaitReady("main"))
	address := first.Listener.Addr().String()
	first.CloseClientConnections()
	first.Close()
	b.do(chromedp.Evaluate[chromedp.Void](`window.dispatchEvent(new Event("offline"))`))
	b.until(`!document.getElementById("banner").hidden && document.getElementById("banner").textContent.includes("is not responding")`)
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	second := &http.Server{Handler: w.pages}
	defer second.Close()
	go second.Serve(listener)
	b.until(`document.getElementById("banner").textContent.includes("is back")`)
	b.until(`document.getElementById("banner").hidden`)
}

// TestTwoTabs: a page says when its visitor has signed out in another tab, or somebody else
// has signed in there, under whose name forms would now be sent.
func TestTwoTabs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all := callvault.Grant{AllTenants: true}
	b := w.openBrowser(w.addPerson("Zoë <1>", all, callvault.Listen))
	other := func(script string) { // what another tab does, and then this one is seen again
		t.Helper()
		eval[int64](b, script+`.then(answer => { document.dispatchEvent(new Event("visibilitychange")); return answer.status; })`)
	}
	const told = `!document.getElementById("banner").hidden && document.getElementById("banner").innerText.includes("someone else has signed in")`
	const asked = `performance.getEntriesByType("resource").some(e => e.name.endsWith("/alive"))`
	other(`fetch("/recordings")`)
	b.until(asked)
	if eval[bool](b, told) {
		t.Error("nothing has changed, and another is told of")
	}
	other(`fetch("` + w.addPerson("Bo", all, callvault.Listen) + `")`)
	b.until(told)
	b.do(chromedp.Click("#banner a"))
	b.until(`document.readyState === "complete" && document.querySelector(".me-name").textContent === "Bo"`)
	other(`fetch("/sign-out", {method: "POST"})`)
	b.until(told)
}

// TestWithoutJavaScript signs in, changes a tenant and signs out with scripts
// switched off.
func TestWithoutJavaScript(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.openBrowser("")
	b.withoutScripts()
	b.do(chromedp.Navigate(w.addPerson("Ada", callvault.Grant{AllTenants: true}, callvault.Listen, callvault.Admin)), chromedp.WaitReady("main"))
	b.open("/admin/tenants/acme-ns")
	b.do(chromedp.SetValue("#title", "Acme by hand"), chromedp.Click("main form .button.primary"), chromedp.WaitReady(".notice.ok"))
	if tenant, err := w.accounts.Tenant(t.Context(), "acme-ns"); err != nil || tenant.Title != "Acme by hand" {
		t.Errorf("the tenant is %+v, %v", tenant, err)
	}
	b.do(chromedp.Click(".me button"), chromedp.WaitReady("#password"))
}
