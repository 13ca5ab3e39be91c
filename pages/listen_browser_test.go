package pages_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"callvault"
	"callvault/archive"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestNamesOfAnyKind: whatever characters a name has, the caller comes before the called
// party, none of it is markup, and the columns stay aligned.
func TestNamesOfAnyKind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addTenant(callvault.Tenant{Name: strings.Repeat("long-tenant-", 20), TimeZone: "Asia/Kathmandu"})
	markup := `<img src=x onerror="document.title='run'">`
	for i, names := range [][3]string{
		{"שירות לקוחות", "مكتب الدعم الفني", "مكتب"}, {markup, markup, markup}, {strings.Repeat("W", 10_000), strings.Repeat("z ", 5000), strings.Repeat("é", 5000)},
		{"", "", ""}, {"\u202egnp.exe", "Zoë", "a\u200bb"},
	} {
		r := recording(fmt.Sprint("named-", i), time.Now().Add(-time.Duration(i)*time.Hour).UnixMilli())
		r.CallingParty, r.ReceivingParty, r.Agent, r.Skill, r.TagData = names[0], names[1], names[2], names[2], names[2]
		w.keep(r, nil, clip().Audio)
	}
	pending := recording("named-pending", time.Now().UnixMilli())
	pending.Status = callvault.Pending
	w.keep(pending, nil, nil)
	b := w.openBrowser(w.addPerson("Lena", callvault.Grant{AllTenants: true}, callvault.Listen))
	b.open("/recordings")
	b.until(`document.querySelectorAll(".result").length === 6 && document.title !== "run"`)
	const left = `[...document.querySelectorAll("%s")].map(e => e.getBoundingClientRect().left)`
	for _, column := range []string{".result-when", ".result-parties", ".result-about", ".result-tenant"} {
		if lefts := eval[[]float64](b, fmt.Sprintf(left, column)); len(lefts) != 6 || slices.Min(lefts) != slices.Max(lefts) {
			t.Errorf("%s does not stand in one column: %v", column, lefts)
		}
	}
	if lefts := eval[[]float64](b, fmt.Sprintf(left, `[href$='/named-0'] bdi`)); len(lefts) != 2 || lefts[0] >= lefts[1] {
		t.Errorf("in the list the caller stands at %v", lefts)
	}
	b.inspect("names")
	b.open("/recordings/acme-ns/named-0")
	if lefts := eval[[]float64](b, fmt.Sprintf(left, `h1 bdi`)); len(lefts) != 2 || lefts[0] >= lefts[1] {
		t.Errorf("in the heading the caller stands at %v", lefts)
	}
}

// TestZonesInTheBrowser: in the reader's locale, too, each time is in its tenant's zone.
func TestZonesInTheBrowser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addTenant(callvault.Tenant{Name: "beta-co", TimeZone: "Asia/Tokyo"})
	for _, tenant := range []string{"acme-ns", "beta-co"} {
		r := recording("one", time.Date(2026, 1, 5, 12, 34, 0, 0, time.UTC).UnixMilli())
		r.TenantName = tenant
		w.keep(r, nil, clip().Audio)
	}
	b := w.openBrowser(w.addPerson("Lena", callvault.Grant{AllTenants: true}, callvault.Listen))
	b.open("/recordings")
	for tenant, hour := range map[string]string{"acme-ns": "5", "beta-co": "(9|21)"} {
		for _, text := range []string{"innerText", "title"} {
			b.until(fmt.Sprintf(`/%s:34/.test(document.querySelector(".result:has([href*='/%s/']) time").%s)`, hour, tenant, text))
		}
	}
}

// TestFindAndHear does what the pages are for: it searches for a call while typing, opens
// it and plays it, by mouse, by keyboard and by a link to a moment.
func TestFindAndHear(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill()
	wanted := recording("wanted", time.Now().Add(-time.Hour).UnixMilli())
	wanted.CallingParty, wanted.Agent, wanted.ReceivingParty = "17775559876", "Zoë Quill(9)", "Zoë Quill(9)"
	w.keep(wanted, nil, clip().Audio)
	b := w.openBrowser(w.addPerson("Lena Listener", callvault.Grant{AllTenants: true}, callvault.Listen, callvault.Download))

	b.open("/recordings")
	b.weigh("the first page of recordings")
	b.do(chromedp.KeyEvent("/"))
	b.until(`document.activeElement.id === "party" && (document.activeElement.value = "", true)`) // a key made by hand types all the same
	b.do(chromedp.KeyEvent("9876"))                                                               // as one types: no button is pressed
	b.until(`document.querySelectorAll(".result").length === 1 && location.search === "?party=9876"`)
	b.until(`document.getElementById("announce").textContent.startsWith("1 recording")`)
	b.do(chromedp.KeyEvent(strings.Repeat(kb.Backspace, 4)), chromedp.Click(".search-more summary"), chromedp.SendKeys("#agent", "zo"))
	b.until(`document.querySelector("#agents option")?.value === "Zoë Quill(9)"`)
	b.until(`location.search === "?agent=zo" && document.querySelectorAll(".result").length === 1`)
	b.open("/recordings?agent=zo") // the address is the search
	b.inspect("recordings")
	b.do(chromedp.KeyEvent(kb.Tab), chromedp.Evaluate[chromedp.Void](`document.querySelector(".result-link").focus()`), chromedp.KeyEvent(kb.Enter))
	b.until(`location.pathname === "/recordings/acme-ns/wanted" && !!document.querySelector(".player.drawn")`)
	b.inspect("recording")

	b.do(chromedp.Click(`[data-part=play]`))
	b.until(`document.querySelector("audio").currentTime > 0.5 && document.querySelector(".player").classList.contains("playing")`)
	b.until(`document.querySelector("[data-part=elapsed]").textContent !== "0:00"`)
	b.do(chromedp.Evaluate[chromedp.Void](`document.activeElement.blur()`), chromedp.KeyEvent(" "))
	b.until(`document.querySelector("audio").paused`)
	b.hearByKeys()
	b.hearByMouse()

	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("[data-stamp]").click()`), chromedp.KeyEvent("he says yes")) // the mouse may miss while the page scrolls
	b.until(`document.getElementById("text").value.endsWith("he says yes")`)
	b.do(chromedp.Click("form[action$=remarks] .button"))
	b.until(`!!document.querySelector(".note-text")?.textContent.endsWith("he says yes") && !!document.querySelector(".note-text a")`)
	b.backToTheSearch()
	b.open("/recordings/acme-ns/wanted#t=0:07")
	b.until(`document.querySelector("[data-part=elapsed]").textContent === "0:07"`)
	b.do(chromedp.KeyEvent("k"))
	b.until(`document.querySelector("audio").currentTime > 7.3`)
	b.do(chromedp.KeyEvent("k"))

	for path, want := range map[string]string{
		"/recordings/acme-ns/wanted/download": base64.StdEncoding.EncodeToString(clip().Audio),
	} {
		got := eval[string](b, `fetch("`+path+`").then(a => a.arrayBuffer()).then(b => btoa(Array.from(new Uint8Array(b), c => String.fromCharCode(c)).join("")))`)
		if got != want {
			t.Errorf("%s: other bytes came than are kept", path)
		}
	}
	if got := w.events("play"); len(got) != 1 || got[0].Who != "Lena Listener" {
		t.Errorf("played: %v", got)
	}
}

// backToTheSearch goes back to the search from a recording after a form has reloaded its
// page: the search is as it was.
func (b *browser) backToTheSearch() {
	b.Helper()
	b.do(chromedp.Evaluate[chromedp.Void](`history.go(-2)`))
	b.until(`location.pathname + location.search === "/recordings?agent=zo" && document.querySelectorAll(".result").length === 1 &&
		document.getElementById("agent").value === "zo" && document.getElementById("party").value === ""`)
}

// hearByKeys uses the player by its keys; it is paused before and after.
func (b *browser) hearByKeys() {
	b.Helper()
	at := func(seconds string) {
		b.until(`Math.abs(document.querySelector("audio").currentTime - ` + seconds + `) < 0.3`)
	}
	b.do(chromedp.KeyEvent(kb.Home))
	at("0")
	b.do(chromedp.KeyEvent(kb.ArrowRight))
	at("5")
	b.do(chromedp.KeyEvent("l"))
	at("15")
	b.do(chromedp.KeyEvent("j"), chromedp.KeyEvent(kb.ArrowLeft))
	at("0")
	b.do(chromedp.KeyEvent("]"), chromedp.KeyEvent("]"))
	b.until(`document.querySelector("audio").playbackRate === 1.5 && document.querySelector("[data-part=speed]").textContent === "1.5×"`)
	b.do(chromedp.KeyEvent("["), chromedp.KeyEvent("["))
	b.until(`document.querySelector("audio").playbackRate === 1`)
	b.do(chromedp.KeyEvent(kb.End))
	b.until(`document.querySelector("[role=slider]").getAttribute("aria-valuetext").startsWith("18 seconds of 18 seconds")`)
	b.do(chromedp.KeyEvent("?"))
	b.until(`document.querySelector("dialog").open`)
	b.do(chromedp.KeyEvent(kb.Escape))
	b.until(`!document.querySelector("dialog").open`)
}

// hearByMouse clicks into the middle of the waveform.
func (b *browser) hearByMouse() {
	b.Helper()
	b.do(chromedp.Click(".wave"))
	b.until(`Math.abs(document.querySelector("audio").currentTime / document.querySelector("audio").duration - 0.5) < 0.05`)
}

// TestWaveformComesLater: a waveform that could not be loaded is drawn once the service is
// back.
func TestWaveformComesLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.keep(recording("one", began), nil, clip().Audio)
	var asked atomic.Int64
	ailing := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/peaks") && asked.Add(1) == 1 {
			http.Error(out, "", http.StatusBadGateway)
			return
		}
		w.pages.ServeHTTP(out, r)
	}))
	t.Cleanup(ailing.Close)
	b := w.openBrowser(w.addPerson("Lena", callvault.Grant{AllTenants: true}, callvault.Listen))
	b.url = ailing.URL
	b.open("/recordings/acme-ns/one")
	b.until(`performance.getEntriesByType("resource").some(e => e.name.endsWith("/peaks"))`)
	b.do(chromedp.Evaluate[chromedp.Void](`document.dispatchEvent(new Event("serviceback"))`))
	b.until(`document.querySelector(".player").classList.contains("drawn")`)
}

// TestWhatGoesWrongIsSaid plays what cannot be played: the page says why.
func TestWhatGoesWrongIsSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.keep(recording("one", began), nil, clip().Audio)
	limit := int64(100)
	w.limitEgress("acme-ns", &limit)
	b := w.openBrowser(w.addPerson("Lena Listener", callvault.Grant{AllTenants: true}, callvault.Listen))
	b.open("/recordings/acme-ns/one#t=5")
	b.do(chromedp.Click(`[data-part=play]`))
	b.until(`!document.querySelector("[data-part=trouble]").hidden && document.querySelector("[data-part=why]").textContent !== ""`)
	if why := eval[string](b, `document.querySelector("[data-part=why]").textContent`); !strings.Contains(why, "once it is raised") {
		t.Errorf("why nothing plays: %s", why)
	}
	b.inspect("recording-refused")
	w.limitEgress("acme-ns", nil) // an operator lifts the limit: the same button goes on at the same place
	b.do(chromedp.Click(`[data-part=again]`))
	b.until(`document.querySelector("audio").currentTime > 5.3 && document.querySelector("[data-part=trouble]").hidden`)
	b.do(chromedp.KeyEvent("k"))
	w.limitEgress("acme-ns", &limit)
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("audio").src += "?anew"`), chromedp.Click(`[data-part=play]`))
	b.until(`!document.querySelector("[data-part=trouble]").hidden && document.querySelector("audio").error !== null`)
	w.limitEgress("acme-ns", nil)
	b.do(chromedp.Click(`[data-part=play]`)) // and so does that which plays
	b.until(`document.querySelector("audio").currentTime > 0.2 && document.querySelector("[data-part=trouble]").hidden`)
	b.do(chromedp.KeyEvent("k"))
	if err := w.accounts.RemovePerson(t.Context(), "Lena Listener"); err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("audio").src += "?unheard"`), chromedp.Click(`[data-part=play]`))
	b.until(`document.querySelector("[data-part=why]").textContent.includes("session has ended") && !document.querySelector("[data-part=sign]").hidden`)
}

// TestLinkToAMoment: a link leads to its moment also through the sign-in, and a note's link
// each time that it is clicked.
func TestLinkToAMoment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.keep(recording("one", began), nil, clip().Audio)
	if err := w.archive.AddRemark(t.Context(), &archive.Remark{Tenant: "acme-ns", RecordingKey: "one", At: began, Who: "Ada", Text: "at 0:07"}); err != nil {
		t.Fatal(err)
	}
	key := w.addUser("robot", callvault.Read)
	b := w.openBrowser("")
	b.open("/recordings/acme-ns/one#t=0:03")
	b.do(chromedp.Click("summary"), chromedp.SendKeys("#key", "cvk_wrong"+kb.Enter))
	b.until(`!!document.querySelector(".notice.bad")`)
	b.do(chromedp.SendKeys("#key", key+kb.Enter))
	at := `document.querySelector("[data-part=elapsed]")?.textContent === `
	b.until(at + `"0:03"`)
	for range 2 {
		b.do(chromedp.Click(".note-text a"))
		b.until(at + `"0:07"`)
		b.do(chromedp.KeyEvent(kb.Home))
		b.until(at + `"0:00"`)
	}
	b.do(chromedp.KeyEvent("l"))
	b.until(at + `"0:10"`)
	if err := w.accounts.RemoveUser(t.Context(), "robot"); err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("audio").src += "?unheard"`), chromedp.Click(`[data-part=play]`))
	b.until(`document.querySelector("[data-part=sign]").hash.startsWith("#t=0:")`)
}

// TestOneTabPlays: a tab stops playing when another tab begins.
func TestOneTabPlays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.keep(recording("one", began), nil, clip().Audio)
	b := w.openBrowser(w.addPerson("Lena Listener", callvault.Grant{AllTenants: true}, callvault.Listen))
	b.open("/recordings/acme-ns/one")
	b.do(chromedp.Click(`[data-part=play]`))
	b.until(`document.querySelector(".player").classList.contains("playing") && document.querySelector("audio").currentTime > 0.2`)
	b.do(chromedp.Evaluate[chromedp.Void](`new BroadcastChannel("callvault player").postMessage("playing")`)) // as another tab says it
	b.until(`document.querySelector("audio").paused`)
}

// TestPlayersArithmetic checks what the scripts compute.
func TestPlayersArithmetic(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.keep(recording("one", began), nil, clip().Audio)
	b := w.openBrowser(w.addPerson("Lena Listener", callvault.Grant{AllTenants: true}, callvault.Listen))
	b.open("/recordings/acme-ns/one")
	in := func(file, script string) string {
		return eval[string](b, `import(document.querySelector("script[src$='player.js']").src.replace("player.js", "`+file+`")).then(m => JSON.stringify(`+script+`))`)
	}
	for script, want := range map[string]string{
		`["0", "83", "1:23", "1:02:03", "0:00:01.5"].map(m.parse)`:               `[0,83,83,3723,1.5]`,
		`["", "x", "1:", "1:2:3:4", "1:75", "-1", "1e9", "999999"].map(m.parse)`: `[null,null,null,null,null,null,null,null]`,
		`["#t=1:23", "#t=%3", "#notes", ""].map(m.ofHash)`:                       `[83,null,null,null]`,
		`[0, 83, 3723, 59.9999999].map(m.clock)`:                                 `["0:00","1:23","1:02:03","1:00"]`,
		`[0, 61, 3600, 7322].map(m.spoken)`:                                      `["0 seconds","1 minute 1 second","1 hour","2 hours 2 minutes 2 seconds"]`,
	} {
		if got := in("moment.js", script); got != want {
			t.Errorf("%s is %s; want %s", script, got, want)
		}
	}
	loudness := `Uint8Array.from({length: 400}, (_, i) => i >= 100 && i < 200 ? 30 : 80)` // 10 s, of which 2.5 s are still
	if got := in("wave.js", `m.silences({each: 0.025, loudness: `+loudness+`})`); got != `[{"from":2.75,"to":4.75}]` {
		t.Errorf("silences: %s", got)
	}
}
