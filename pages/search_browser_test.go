package pages_test

import (
	"fmt"
	"testing"
	"time"

	"callvault"

	"github.com/chromedp/chromedp"
)

// TestSearchThatIsRefused: a visitor who loses access while typing is shown why, and one who
// has typed nothing stays on the present page of the list.
func TestSearchThatIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addTenant(callvault.Tenant{Name: "beta-co"})
	for i := range 40 {
		r := recording(fmt.Sprint("r", i), time.Now().Add(-time.Duration(i)*time.Minute).UnixMilli())
		r.Status = callvault.Pending
		w.keep(r, nil, nil)
	}
	b := w.openBrowser(w.addPerson("Lena", callvault.Grant{AllTenants: true}, callvault.Listen))
	b.open("/recordings")
	b.do(chromedp.Click(".pager a"))
	b.until(`location.search.startsWith("?after=") && document.querySelectorAll(".result").length === 10`)
	b.do(chromedp.Evaluate[chromedp.Void](`document.dispatchEvent(new Event("serviceback"))`), chromedp.SendKeys("#party", "x"))
	b.until(`location.search === "?party=x"`)
	if asked := eval[string](b, `performance.getEntriesByType("resource").map(e => e.name).filter(n => n.includes("part=")).map(n => new URL(n).search).join()`); asked != "?party=x&part=results" {
		t.Errorf("asked for were %s", asked)
	}

	may := func(can ...callvault.Capability) {
		t.Helper()
		if err := w.accounts.SetPerson(t.Context(), "Lena", func(p *callvault.Person) error { p.Can = can; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	says := func(words string) string {
		return `document.querySelector("main")?.innerText.includes("` + words + `") === true`
	}
	may(callvault.Download)
	b.do(chromedp.SendKeys("#party", "y"))
	b.until(says("Recordings are for those who may listen"))
	may(callvault.Listen)
	b.open("/recordings")
	if err := w.accounts.RemovePerson(t.Context(), "Lena"); err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.SendKeys("#party", "130"))
	b.until(says("Your session has ended"))
	if to := eval[string](b, `document.querySelector("[name=to]").value`); to != "/recordings?party=130" {
		t.Errorf("the sign-in leads to %s", to)
	}
}
