package pages_test

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"callvault"
	"callvault/account"
	"callvault/archive"
)

const began = 1_707_770_449_131

func TestRecordingPage(t *testing.T) {
	w := newWorld(t)
	r := recording("one", began)
	call := callvault.CallOf(&r)
	call.StartTime, call.EndTime = began-10_000, began+200_000
	call.DialedPartyNumber, call.Location, call.TotalHoldDuration, call.DropEventType = "7035559310", "Reno, NV", 61_000, "DROP"
	call.AccountCodes = append(call.AccountCodes, []byte(`"code-7"`), []byte(`42`))
	entry := w.keep(r, &call, clip().Audio)
	second := recording("two", began+100_000)
	second.CallKey = r.CallKey
	w.keep(second, nil, clip().Audio)
	reader := w.signedIn("lena", callvault.Listen)
	reader.get("/recordings/acme-ns/one").want(t, "page", http.StatusOK,
		"18885551347", "Kelly Jaques(256)", "CC Sales", "Inbound", "7035559310", "Reno, NV", "1:01", "code-7, 42", "hanging up",
		"/recordings/acme-ns/two", "The 2 recordings of this call", "data-player", "/recordings/acme-ns/one/audio", "sample",
		callvaultHex(entry.SHA256[:]), "America/Denver")
	reader.get("/recordings/acme-ns/none").want(t, "unknown", http.StatusNotFound)
	reader.get("/recordings/nobody/one").want(t, "unknown tenant", http.StatusNotFound)
	if strings.Contains(reader.get("/recordings/acme-ns/one").body, "/download") {
		t.Error("who may not download is shown how to")
	}
}

func callvaultHex(sum []byte) string {
	const digits = "0123456789abcdef"
	text := make([]byte, 0, 64)
	for _, b := range sum {
		text = append(text, digits[b>>4], digits[b&15])
	}
	return string(text)
}

func TestPlayAndDownload(t *testing.T) {
	w := newWorld(t)
	r, audio := recording("one", began), clip().Audio
	w.keep(r, nil, audio)
	reader := w.signedIn("lena", callvault.Listen, callvault.Download)
	const path = "/recordings/acme-ns/one"
	part := reader.send(http.MethodGet, path+"/audio", http.Header{"Range": {"bytes=0-99"}}, nil)
	part.want(t, "part", http.StatusPartialContent)
	if part.body != string(audio[:100]) || !strings.HasPrefix(part.header.Get("Content-Disposition"), "inline") {
		t.Errorf("part: %d bytes, %s", len(part.body), part.header.Get("Content-Disposition"))
	}
	for range 5 { // a player's parts are no requests of the API's three
		reader.send(http.MethodGet, path+"/audio", http.Header{"Range": {"bytes=100-"}}, nil).want(t, "rest", http.StatusPartialContent)
	}
	reader.send(http.MethodHead, path+"/audio", nil, nil).want(t, "head", http.StatusOK)
	if got := w.events(account.ActionPlay); len(got) != 1 || got[0].Bytes != 100 || got[0].Who != "lena" || got[0].Recording != "one" || got[0].Times != 1 {
		t.Errorf("played: %+v", got)
	}
	for range 2 {
		whole := reader.get(path + "/download")
		if whole.body != string(audio) || !strings.HasPrefix(whole.header.Get("Content-Disposition"), "attachment") {
			t.Errorf("download: %d of %d bytes, %s", len(whole.body), len(audio), whole.header.Get("Content-Disposition"))
		}
	}
	wav := reader.get(path + "/download?format=wav")
	if !strings.HasPrefix(wav.body, "RIFF") || wav.header.Get("Content-Type") != "audio/wav" {
		t.Errorf("WAV: %.20q %s", wav.body, wav.header.Get("Content-Type"))
	}
	sent := int64(2*len(audio) + len(wav.body))
	w.soon("the downloads are in the audit trail", sent, func() (downloaded int64) {
		for _, e := range w.events(account.ActionDownload) {
			downloaded += e.Bytes
		}
		return downloaded
	})
	tenant, err := w.accounts.Tenant(t.Context(), "acme-ns")
	if err != nil {
		t.Fatal(err)
	}
	w.soon("what was sent is egress", sent+100+5*int64(len(audio)-100), func() int64 {
		usage, err := w.meter.Usage(t.Context(), tenant, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return usage.Used
	})
	listener := w.signedIn("olga", callvault.Listen)
	listener.get(path+"/download").want(t, "no download", http.StatusForbidden, "may listen, but not download")
	if peaks := reader.get(path + "/peaks"); !strings.HasPrefix(peaks.body, "CVP\x01") || peaks.status != http.StatusOK {
		t.Errorf("peaks: %d %.10q", peaks.status, peaks.body)
	}
}

func TestBeyondTheEgressLimit(t *testing.T) {
	w := newWorld(t)
	w.keep(recording("one", began), nil, clip().Audio)
	limit := int64(len(clip().Audio))
	w.limitEgress("acme-ns", &limit)
	reader := w.signedIn("lena", callvault.Listen, callvault.Download)
	reader.get("/recordings/acme-ns/one/audio").want(t, "within", http.StatusOK)
	got := reader.send(http.MethodGet, "/recordings/acme-ns/one/audio", http.Header{"Accept": {"application/json"}}, nil)
	got.want(t, "beyond", 509, "bandwidth_limit_exceeded")
	if got.header.Get("Retry-After") == "" {
		t.Error("nobody is told when listening works again")
	}
	reader.get("/recordings/acme-ns/one/download").want(t, "download beyond", 509, "<h1>", "Try again after <time datetime=")
	if got := w.events(account.ActionDownload); len(got) != 0 {
		t.Errorf("what was refused counts as downloaded: %v", got)
	}
	limit-- // now no waiting helps, and none is promised
	w.limitEgress("acme-ns", &limit)
	got = reader.send(http.MethodGet, "/recordings/acme-ns/one/audio", http.Header{"Accept": {"application/json"}}, nil)
	got.want(t, "more than the limit", 509, "only once it is raised")
	if wait := got.header.Get("Retry-After"); wait != "" {
		t.Errorf("Retry-After: %s, though that will not help", wait)
	}
}

func TestRecordingWithoutAudio(t *testing.T) {
	w := newWorld(t)
	reader := w.signedIn("lena", callvault.Listen)
	lost := recording("lost", began)
	w.keep(lost, nil, clip().Audio)
	w.loseAudio("lost")
	pending, deleted, odd := recording("pending", began), recording("deleted", began), recording("odd", began)
	pending.Status, deleted.Status, odd.Status = callvault.Pending, callvault.DeletedTime, "<b>ODD"
	for key, want := range map[string]string{"lost": "gone from the archive", "pending": "has not come in", "deleted": "because of its age", "odd": "&lt;b&gt;ODD"} {
		for _, r := range []callvault.Recording{pending, deleted, odd} {
			if r.RecordingKey == key {
				if _, err := w.archive.Note(t.Context(), []archive.Note{{Recording: r}}, time.Now()); err != nil {
					t.Fatal(err)
				}
			}
		}
		page := reader.get("/recordings/acme-ns/" + key)
		page.want(t, key, http.StatusOK, "There is nothing to hear", want)
		if strings.Contains(page.body, "data-player") {
			t.Errorf("%s has a player", key)
		}
		reader.get("/recordings/acme-ns/"+key+"/audio").want(t, key+" audio", http.StatusNotFound)
	}
	if got := w.events(account.ActionPlay); len(got) != 0 {
		t.Errorf("what is not there counts as played: %v", got)
	}
}

func TestOddKeys(t *testing.T) {
	w := newWorld(t)
	reader := w.signedIn("lena", callvault.Listen)
	long := strings.Repeat("é", 127)
	tenants := []string{"a%2Fb", "..", "~", "☎ & <co>", long}
	keys := []string{"k%2F..%2e", ".", "..", "~~", "😀?#&\"'<x>", long}
	for i, tenant := range tenants {
		w.addTenant(callvault.Tenant{Name: tenant})
		for _, key := range keys {
			r := recording(key, began+int64(i))
			r.TenantName = tenant
			w.keep(r, nil, clip().Audio)
		}
		list := reader.get("/recordings?tenant=" + url.QueryEscape(tenant))
		paths := links(list.body)
		if len(paths) != len(keys) {
			t.Fatalf("%s: %d links: %q", tenant, len(paths), paths)
		}
		for _, path := range paths {
			browsers, err := url.Parse(w.url + "/") // resolved as browsers do
			if err != nil {
				t.Fatal(err)
			}
			at, err := browsers.Parse(path)
			if err != nil {
				t.Fatal(err)
			}
			reader.get(at.EscapedPath()).want(t, path, http.StatusOK, "data-player")
			if got := reader.get(at.EscapedPath() + "/audio"); got.status != http.StatusOK || got.body != string(clip().Audio) {
				t.Errorf("%s: audio %d", path, got.status)
			}
		}
	}
}

// links are the paths of the results in a page.
func links(body string) (paths []string) {
	for _, after := range strings.Split(body, `class="result-link" href="`)[1:] {
		path, _, _ := strings.Cut(after, `"`)
		paths = append(paths, strings.ReplaceAll(path, "&amp;", "&"))
	}
	return paths
}

func TestMarkupIsText(t *testing.T) {
	w := newWorld(t)
	reader := w.signedIn(`<img src=x onerror=alert(1)>`, callvault.Listen)
	const evil = `"><script>alert(1)</script>`
	r := recording("one", began)
	r.CallingParty, r.ReceivingParty, r.Agent, r.Skill, r.TagData, r.CallDirection = evil, evil, evil, evil, evil, evil
	r.TagData = evil + strings.Repeat("x", 10_000)
	call := callvault.CallOf(&r)
	call.CallerID, call.DialedPartyNumber, call.Location, call.DropEventType = evil, evil, strings.Repeat(evil, 400), evil
	w.keep(r, &call, clip().Audio)
	got := reader.post("/recordings/acme-ns/one/remarks", "text", evil+" at 1:02:03, 0:41 and 12:99")
	if got.status != http.StatusSeeOther || got.header.Get("Location") != "/recordings/acme-ns/one#notes" {
		t.Errorf("note: %d %s %.300s", got.status, got.header.Get("Location"), got.body)
	}
	reader.post("/recordings/acme-ns/one/remarks", "text", strings.Repeat("<", 10_000)).want(t, "long note", http.StatusSeeOther)
	reader.post("/recordings/acme-ns/one/remarks", "text", strings.Repeat("<", 10_001)).want(t, "longer note", http.StatusBadRequest)
	reader.post("/recordings/acme-ns/one/remarks", "text", strings.Repeat("<", 10_000)).want(t, "the note sent again", http.StatusSeeOther)
	if kept, err := w.archive.Remarks(t.Context(), "acme-ns", "one"); err != nil || len(kept) != 2 {
		t.Errorf("%d notes are kept, %v", len(kept), err)
	}
	reader.post("/recordings/acme-ns/one/remarks", "text", " \r\n").want(t, "empty note", http.StatusBadRequest)
	for _, path := range []string{"/recordings", "/recordings/acme-ns/one", "/recordings?party=" + url.QueryEscape(evil), "/recordings?agent=%ff%00&when=" + url.QueryEscape(evil)} {
		page := reader.get(path)
		if strings.Contains(page.body, "<script>alert") || strings.Contains(page.body, "<img src=x") {
			t.Errorf("%s runs what others wrote", path)
		}
	}
	reader.get("/recordings/acme-ns/one").want(t, "moments", http.StatusOK, `<a href="#t=1:02:03">1:02:03</a>`, `<a href="#t=0:41">0:41</a>`, "12:99")
	if got := w.events("write note"); len(got) == 0 || got[0].Recording != "one" {
		t.Errorf("notes in the audit trail: %v", got)
	}
}

func TestSessionThatEnded(t *testing.T) {
	w := newWorld(t)
	w.keep(recording("one", began), nil, clip().Audio)
	reader := w.signedIn("lena", callvault.Listen)
	reader.get("/recordings/acme-ns/one/audio").want(t, "before", http.StatusOK)
	if err := w.accounts.RemovePerson(t.Context(), "lena"); err != nil {
		t.Fatal(err)
	}
	script := http.Header{"Accept": {"application/json"}}
	reader.send(http.MethodGet, "/recordings/acme-ns/one/audio", script, nil).want(t, "after", http.StatusUnauthorized)
	if got := reader.get("/recordings/acme-ns/one/audio"); got.status != http.StatusSeeOther || bytes.Contains([]byte(got.body), clip().Audio[:100]) {
		t.Errorf("after: %d", got.status)
	}
}
