package pages_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callvault"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestCompletenessInTheBrowser inspects the calendar, opens a day by keyboard, goes on to
// the certificate, and inspects the usage.
func TestCompletenessInTheBrowser(t *testing.T) {
	t.Parallel()
	c := newCollected(t)
	bad := c.month()
	c.collect()
	c.addTenant(callvault.Tenant{Name: "by-hand", Title: "Taken in by hand"})
	c.spend("acme-ns", 40, 50, 60, 70)
	c.source.Since = time.Now().AddDate(0, 0, -60).UnixMilli() // days that were not listed
	b := c.openBrowser(c.addPerson("Ann", callvault.Grant{AllTenants: true}, callvault.Listen))
	b.open("/completeness")
	b.inspect("completeness")
	b.open("/completeness/acme/acme-ns?month=" + bad.Format("2006-01"))
	b.until(`document.querySelectorAll("table.calendar a.day").length > 10`)
	b.inspect("calendar")
	b.do(chromedp.Focus(`a.day.incomplete`), chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible("#day"))
	b.until(`document.querySelector("#day").innerText.includes("bad-one")`)
	b.inspect("calendar-day")
	b.do(chromedp.Focus(`#day a[href^="/certificate"]`), chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible("#sha256"))
	b.until(`document.querySelector(".verdict").innerText.includes("Not complete")`)
	b.inspect("certificate")
	b.open("/usage")
	b.inspect("usage")
}

// spend sends shares of a limit of 100 MB, in percent of a tenth of it, hours apart.
func (c *collected) spend(name string, shares ...int64) {
	c.Helper()
	limit := int64(100_000_000)
	c.limitEgress(name, &limit)
	tenant, err := c.accounts.Tenant(c.Context(), name)
	if err != nil {
		c.Fatal(err)
	}
	for i, share := range shares {
		at := time.Now().Add(time.Duration(i-len(shares)) * 23 * time.Hour)
		reserved, err := c.meter.Reserve(c.Context(), tenant, share*limit/1000, at)
		if err != nil {
			c.Fatal(err)
		}
		reserved.Settle(share*limit/1000, at)
	}
}

// TestCertificatePrints: on paper the frame and the form are gone.
func TestCertificatePrints(t *testing.T) {
	t.Parallel()
	c := newCollected(t)
	c.month()
	c.collect()
	b := c.openBrowser(c.addPerson("Ann", callvault.Grant{AllTenants: true}, callvault.Listen))
	b.open("/certificate/acme-ns?from=" + daysAgo(25).Format(time.DateOnly) + "&until=" + daysAgo(0).Format(time.DateOnly))
	told, err := chromedp.Call(b.ctx, page.PrintToPDF, page.PrintToPDFParams{PaperWidth: 8.27, PaperHeight: 11.69})
	if err != nil || !strings.HasPrefix(string(told.Data), "%PDF-") {
		t.Fatalf("this is no PDF: %.20q, %v", told.Data, err)
	}
	if dir := os.Getenv("CALLVAULT_SHOTS"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, "certificate.pdf"), told.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"}); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{".top", "main form"} {
		if got := eval[string](b, `getComputedStyle(document.querySelector("`+gone+`")).display`); got != "none" {
			t.Errorf("%s is printed: %s", gone, got)
		}
	}
}
