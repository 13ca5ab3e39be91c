package pages_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"callvault"
	"callvault/collect"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// followed returns a browser that follows a run over twelve recordings, none of which has
// been fetched yet.
func followed(t *testing.T) (*collected, *browser) {
	t.Helper()
	c := newCollected(t)
	for i := range 12 {
		c.origin.add("acme-ns", fmt.Sprint("r", i), daysAgo(2))
	}
	c.origin.gate = make(chan struct{})
	b := c.openBrowser(c.addPerson("Ann", callvault.Grant{AllTenants: true}, callvault.Listen))
	b.open("/completeness")
	ended := make(chan struct{})
	t.Cleanup(func() { close(c.origin.gate); <-ended }) // also when the test fails
	go func() {
		defer close(ended)
		run, err := c.collector.Start(context.Background(), c.source, collect.Always)
		if err == nil {
			_, err = run.Wait(context.Background())
		}
		if err != nil {
			t.Error(err)
		}
	}()
	b.until(fetched("0"))
	return c, b
}

// fetched returns a script that is true once the page says that n of the twelve are fetched.
func fetched(n string) string {
	return `document.querySelector("[data-words]").innerText.startsWith("` + n + ` of 12 recordings")`
}

// send lets the origin answer n requests for audio.
func (o *origin) send(n int) {
	for range n {
		o.gate <- struct{}{}
	}
}

// TestLiveProgress: the page follows a run and says when it has ended.
func TestLiveProgress(t *testing.T) {
	t.Parallel()
	c, b := followed(t)
	c.origin.send(5)
	b.until(fetched("5"))
	if got := eval[float64](b, `document.querySelector("[data-bar]").value`); got != 5 {
		t.Errorf("the bar stands at %v, want 5", got)
	}
	b.open("/completeness") // what is shown without a script
	b.until(fetched("5"))
	b.inspect("progress")
	c.origin.send(7)
	b.until(`document.querySelector("[data-live]").innerText.includes("The run has ended.")`)
	b.do(chromedp.Focus("[data-live] a"), chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible(".tenants"))
	b.until(`document.querySelector(".tenants").innerText.includes("nothing")`)
}

// TestLiveProgressIsRefused: a page says when it gets no more updates because its visitor
// may no longer see them.
func TestLiveProgressIsRefused(t *testing.T) {
	t.Parallel()
	c, b := followed(t)
	const told = `!document.getElementById("banner").hidden && document.getElementById("banner").innerText.includes("your access has changed")`
	narrow := func(agents ...string) {
		t.Helper()
		err := c.accounts.SetPerson(t.Context(), "Ann", func(p *callvault.Person) error { p.Agents = agents; return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	narrow("Bo")
	b.until(told)
	b.inspect("progress-refused")
	b.do(chromedp.Click("#banner a"))
	b.until(`document.querySelector("main")?.innerText.includes("Ann may hear only those of some agents or skills") === true`)
	narrow()
	b.open("/completeness")
	b.until(fetched("0"))
	if err := c.accounts.RemovePerson(t.Context(), "Ann"); err != nil {
		t.Fatal(err)
	}
	b.until(told)
	b.do(chromedp.Click("#banner a"))
	b.until(`document.querySelector("main")?.innerText.includes("Your session has ended") === true`)
}

// TestLiveProgressBehindAProxy: while a proxy answers in place of a service that is away,
// the page says so; then it goes on.
func TestLiveProgressBehindAProxy(t *testing.T) {
	t.Parallel()
	c, b := followed(t)
	var away, refused atomic.Bool
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away.Load() {
			http.Error(w, "bad gateway", http.StatusBadGateway)
			if r.URL.Path == "/completeness/events" {
				refused.Store(true)
			}
			return
		}
		c.pages.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { proxy.CloseClientConnections(); proxy.Close() }) // a stream would go on
	b.url = proxy.URL
	b.open("/completeness")
	b.until(fetched("0"))
	away.Store(true)
	proxy.CloseClientConnections()
	b.do(chromedp.Evaluate[chromedp.Void](`dispatchEvent(new Event("offline"))`))
	b.until(`document.getElementById("banner").innerText.includes("is not responding")`)
	for deadline := time.Now().Add(patience); !refused.Load(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the browser does not ask for the stream again")
		}
	}
	away.Store(false)
	b.until(`document.getElementById("banner").innerText.includes("is back")`)
	c.origin.send(5)
	b.until(fetched("5"))
}
