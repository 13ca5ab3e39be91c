package pages_test

import (
	"testing"
	"time"

	"callvault"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// TestLargeLetters: with text twice as large, all of a page can be read, also on a
// telephone.
func TestLargeLetters(t *testing.T) {
	t.Parallel()
	c := newCollected(t)
	c.month()
	c.collect()
	c.keep(recording("one", time.Now().UnixMilli()), nil, clip().Audio)
	pending := recording("two", time.Now().UnixMilli())
	pending.Status = callvault.Pending
	c.keep(pending, nil, nil)
	b := c.openBrowser(c.addPerson("Ann", callvault.Grant{AllTenants: true}, callvault.Listen, callvault.Download, callvault.Admin))
	large := page.SetFontSizesParams{FontSizes: &page.FontSizes{Standard: 32, Fixed: 26}}
	if _, err := chromedp.Call(b.ctx, page.SetFontSizes, large); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/recordings", "/recordings/acme-ns/one", "/completeness", "/completeness/acme/acme-ns?day=" + daysAgo(20).Format(time.DateOnly),
		"/certificate/acme-ns", "/usage", "/admin/tenants", "/admin/users", "/admin/users/new/person", "/audit"} {
		for _, width := range []int64{360, 1280} {
			b.size(width, false)
			b.open(path)
			if size := eval[string](b, `getComputedStyle(document.querySelector("main")).fontSize`); size < "28" {
				t.Fatalf("the letters are %s high", size)
			}
			const beyond = `[...document.querySelectorAll("body *")].filter(e => !e.closest(".unseen, .skip") && e.checkVisibility() &&
				e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map(e => e.outerHTML.slice(0, 200)).join("\n")`
			if cut := eval[string](b, beyond); cut != "" {
				t.Errorf("%s at %d px: this is cut off:\n%s", path, width, cut)
			}
		}
	}
}
