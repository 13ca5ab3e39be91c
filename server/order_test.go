package server_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"callvault"
)

// TestOrderOfChecks makes requests that fail several checks at once. The response is that
// of the first, in the order of docs/api.md. Each case corrects what the one before it
// was refused for.
func TestOrderOfChecks(t *testing.T) {
	w := newWorld(t)
	w.keep(recording("a", 0))
	w.setTenant("acme-ns", func(t *callvault.Tenant) { t.RequestLimit, t.EgressOverride = true, new(int64) })
	w.user("narrow", callvault.Grant{Tenants: []string{"acme-ns"}, Agents: []string{"Nobody(1)"}}, callvault.Read)
	w.user("writer", callvault.Grant{AllTenants: true}, callvault.Write)
	w.user("all", callvault.Grant{AllTenants: true}, callvault.Read)
	w.setUser("robot", func(u *callvault.ServiceUser) { u.Tenants = []string{"acme-ns"} })

	exhaust := func() {
		for range 4 {
			w.get(audioPath("acme-ns", "none"))
		}
	}
	long := strings.Repeat("k", 256)
	for _, c := range []struct {
		name, path, user string
		status           int
		code             string
	}{
		{"401 before 400", audioPath("acme-ns", long) + "?format=mp3", "", 401, "unauthorized"},
		{"400 before the tenant's 403", audioPath("other", long), "robot", 400, "invalid_parameter"},
		{"400 for the format before 403", audioPath("other", "a") + "?format=mp3", "robot", 400, "invalid_parameter"},
		{"400 before the capability's 403", audioPath("acme-ns", long), "writer", 400, "invalid_parameter"},
		{"the capability's 403", audioPath("acme-ns", "a"), "writer", 403, "forbidden"},
		{"403 for a tenant that is there", audioPath("beta-co", "a"), "robot", 403, "forbidden"},
		{"403 for a tenant that is not", audioPath("nowhere", "a"), "robot", 403, "forbidden"},
		{"404 for a user of all tenants", audioPath("nowhere", "a"), "all", 404, "not_found"},
		{"404 before 509", audioPath("acme-ns", "none"), "robot", 404, "not_found"},
		{"403 for the recording before 509", audioPath("acme-ns", "a"), "narrow", 403, "forbidden"},
		{"509 at last", audioPath("acme-ns", "a"), "robot", 509, "bandwidth_limit_exceeded"},
		{"400 before 429", audioPath("acme-ns", "a") + "?format=", "robot", 400, "invalid_parameter"},
		{"the tenant's 403 before 429", audioPath("acme-ns", "a"), "writer", 403, "forbidden"},
		{"429 before 404 for the recording", audioPath("acme-ns", "none"), "robot", 429, "too_many_requests"},
		{"429 before 403 for the recording", audioPath("acme-ns", "a"), "narrow", 429, "too_many_requests"},
		{"429 before 509", audioPath("acme-ns", "a"), "robot", 429, "too_many_requests"},
		{"401 of a list", api + "recordings?tenantName=" + long, "", 401, "unauthorized"},
		{"400 of a list before 403", api + "recordings?tenantName=other", "robot", 400, "invalid_parameter"},
		{"403 of a list before 429", list + "&tenantName=acme-ns&tenantName=other", "robot", 403, "forbidden"},
		{"404 of a list before 429", list + "&tenantName=acme-ns&tenantName=other", "all", 404, "not_found"},
		{"429 of a list", list + "&tenantName=acme-ns", "robot", 429, "too_many_requests"},
	} {
		if c.name == "400 before 429" {
			exhaust()
		}
		wantError(t, c.name, w.get(c.path, "Authorization", bearer(w, c.user)), c.status, c.code)
	}
}

func bearer(w *world, user string) string {
	if user == "" {
		return ""
	}
	return "Bearer " + w.keys[user]
}

func TestWhoAsks(t *testing.T) {
	w := newWorld(t)
	w.keep(recording("a", 0))
	key := w.keys["robot"]
	for _, header := range []string{
		"", "Bearer", "Bearer ", key, "Basic " + key, "Bearer " + key[:len(key)-1], "Bearer " + key + "x",
		"Bearer " + key[:10] + "!" + key[11:], "Bearer " + strings.ToLower(key), "Bearer 91a1e1e8-08p8-427b", "Token " + key,
	} {
		for _, path := range []string{list, calls, audioPath("acme-ns", "a"), "/metrics"} {
			wantError(t, fmt.Sprintf("%q", header), w.get(path, "Authorization", header), 401, "unauthorized")
		}
	}
	for _, header := range []string{"bearer " + key, "BEARER " + key, "Bearer   " + key} {
		if got := w.get(list, "Authorization", header); got.StatusCode != 200 {
			t.Errorf("%q: %d", header[:10], got.StatusCode)
		}
	}
	r := w.request(http.MethodGet, list)
	r.Header["Authorization"] = []string{"Bearer " + key, "Bearer " + key}
	wantError(t, "two keys", w.send(r), 401, "unauthorized")
	if strings.Contains(w.log.String(), key[:20]) {
		t.Error("the log holds the key")
	}
}

// TestChangesActOnTheNextRequest changes a user behind the service's back.
func TestChangesActOnTheNextRequest(t *testing.T) {
	w := newWorld(t)
	w.keep(recording("a", 0))
	old := w.as("robot")
	want := func(when string, status int, header []string) {
		t.Helper()
		if got := w.get(audioPath("acme-ns", "a"), header...); got.StatusCode != status {
			t.Errorf("%s: got %d, want %d", when, got.StatusCode, status)
		}
	}
	want("at first", 200, old)
	w.setUser("robot", func(u *callvault.ServiceUser) { u.Enabled = false })
	want("disabled", 401, old)
	w.setUser("robot", func(u *callvault.ServiceUser) { u.Enabled = true })
	want("enabled", 200, old)
	w.setUser("robot", func(u *callvault.ServiceUser) { u.Tenants = []string{"beta-co"} })
	want("another grant", 403, old)
	w.setUser("robot", func(u *callvault.ServiceUser) { u.Tenants = []string{"acme-ns"} })
	fresh, err := w.accounts.RefreshUser(context.Background(), "robot", time.Now())
	must(t, err)
	want("refreshed away", 401, old)
	want("refreshed", 200, []string{"Authorization", "Bearer " + fresh})
	must(t, w.accounts.RemoveUser(context.Background(), "robot"))
	want("removed", 401, []string{"Authorization", "Bearer " + fresh})
}

func TestPathsAndMethods(t *testing.T) {
	w := newWorld(t)
	w.keep(recording("a", 0))
	for _, path := range []string{
		"/", "//", "/rest", api, "/rest/api/v2", "/rest/api/v2/recording", "/rest/api/v1/recordings?" + day,
		"/" + list, api + "/recordings?" + day, api + "recordings/", api + "recordings//a/audio",
		api + "call-recording-info/", api + "recordings/acme-ns/", api + "recordings/acme-ns/a", api + "recordings/acme-ns/a/",
		api + "recordings/acme-ns//audio", api + "recordings/acme-ns/a/audio/", api + "recordings/acme-ns/a/audio/x",
		api + "recordings/acme-ns/a/Audio", api + "Recordings?" + day, api + "recordings/a/b/c/audio",
		"/healthz/", "/openapi.yaml", "/favicon.ico", api + "recordings%3F", "/%00",
	} {
		wantError(t, path, w.get(path), 404, "not_found")
	}
	for _, c := range []struct{ method, path, allow string }{
		{"POST", list, "GET, HEAD"}, {"DELETE", calls, "GET, HEAD"}, {"PUT", audioPath("acme-ns", "a"), "GET, HEAD"},
		{"POST", audioPath("acme-ns", "a"), "GET, HEAD"}, {"OPTIONS", list, "GET, HEAD"}, {"PATCH", "/healthz", "GET, HEAD"},
		{"GET", api + "recordings/acme-ns", "POST"}, {"DELETE", api + "recordings/acme-ns", "POST"}, {"get", list, "GET, HEAD"},
	} {
		got := w.do(c.method, c.path)
		wantError(t, c.method+" "+c.path, got, 405, "method_not_allowed")
		if got.Header.Get("Allow") != c.allow {
			t.Errorf("%s %s: Allow %q, want %q", c.method, c.path, got.Header.Get("Allow"), c.allow)
		}
	}
	for _, path := range []string{api + "%72ecordings?" + day, "/%68ealthz", api + "recordings/acme-ns/a/%61udio"} {
		if got := w.get(path); got.StatusCode != 200 { // RFC 3986 6.2.2.2
			t.Errorf("%s: %d", path, got.StatusCode)
		}
	}
	if got := w.do("HEAD", api+"nothing"); got.StatusCode != 404 || len(got.body) != 0 || got.ContentLength < 40 {
		t.Errorf("HEAD of nothing: %d, %d bytes of %d", got.StatusCode, len(got.body), got.ContentLength)
	}
}

// TestStrangeKeys asks for keys that could be taken for something else.
func TestStrangeKeys(t *testing.T) {
	w := newWorld(t)
	w.user("all", callvault.Grant{AllTenants: true}, callvault.Read)
	odd := []string{"..", ".", "a b", "ü☎️", "con", "a%2Fb", "a?b#c", strings.Repeat("k", 255), `"quoted"`, "a;b=c", "-", "+"}
	for i, key := range odd {
		r := recording(key, int64(i))
		r.CallKey = key
		w.keep(r)
		if got := w.get(audioPath("acme-ns", key)); got.StatusCode != 200 || !bytes.Equal(got.body, clips()[0]) {
			t.Errorf("key %q: %d, %d bytes", key, got.StatusCode, len(got.body))
		}
	}
	if got := rows(t, w.get(list)); len(got) != len(odd) {
		t.Errorf("%d listed, want %d", len(got), len(odd))
	}
	for _, c := range []struct {
		path   string
		status int
		code   string
	}{
		{"recordings/acme-ns/%2E%2E/audio", 200, ""},
		{"recordings/acme-ns/%2e/audio", 200, ""},
		{"recordings/acme-ns/a%2fb/audio", 400, "invalid_parameter"},
		{"recordings/acme-ns/%2F/audio", 400, "invalid_parameter"},
		{"recordings/acme-ns/..%2f..%2fcallvault.db/audio", 400, "invalid_parameter"},
		{"recordings/acme-ns/%00/audio", 400, "invalid_parameter"},
		{"recordings/acme-ns/a%0Ab/audio", 400, "invalid_parameter"},
		{"recordings/acme-ns/%7F/audio", 400, "invalid_parameter"},
		{"recordings/acme-ns/%C2%85/audio", 400, "invalid_parameter"},
		{"recordings/acme-ns/%FF/audio", 400, "invalid_parameter"},
		{"recordings/acme-ns/" + strings.Repeat("k", 256) + "/audio", 400, "invalid_parameter"},
		{"recordings/acme%2Fns/a/audio", 400, "invalid_parameter"},
		{"recordings/" + strings.Repeat("t", 256) + "/a/audio", 400, "invalid_parameter"},
		{"recordings/%00/a/audio", 400, "invalid_parameter"},
		{"recordings/../a/audio", 403, "forbidden"},
		{"recordings/%2e%2e/a/audio", 403, "forbidden"},
		{"recordings/acme-ns/A%20B/audio", 404, "not_found"},
		{"recordings/ACME-NS/a/audio", 403, "forbidden"},
	} {
		status, body := w.raw("GET " + api + c.path)
		got := reply{&http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}, "X-Request-Id": {"-"}}}, body}
		switch {
		case c.code != "":
			wantError(t, c.path, got, c.status, c.code)
		case status != c.status:
			t.Errorf("%s: got %d, want %d", c.path, status, c.status)
		}
	}
	wantError(t, "right key, wrong tenant", w.get(audioPath("beta-co", "..")), 404, "not_found")
}

// raw sends a request line as it is, where clients would normalize it.
func (w *world) raw(line string) (status int, body []byte) {
	w.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url(), "http://"))
	must(w.t, err)
	defer conn.Close()
	fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n", line, w.keys["robot"])
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(w.t, err)
	defer answer.Body.Close()
	var text bytes.Buffer
	_, err = text.ReadFrom(answer.Body)
	must(w.t, err)
	return answer.StatusCode, text.Bytes()
}

// TestErrorsTellNoInternals breaks the database under the service.
func TestErrorsTellNoInternals(t *testing.T) {
	w := newWorld(t)
	w.keep(recording("a", 0))
	w.get(list)
	must(t, w.db.Close())
	for _, path := range []string{list, calls, audioPath("acme-ns", "a")} {
		got := w.get(path)
		text := wantError(t, path, got, 500, "internal")
		id := got.Header.Get("X-Request-Id")
		if strings.Contains(text, "sql") || strings.Contains(text, "database") || !strings.Contains(text, id) {
			t.Errorf("the message says too much or too little: %q", text)
		}
		if !strings.Contains(w.log.String(), id) || !strings.Contains(w.log.String(), "database is closed") {
			t.Errorf("the log does not say what went wrong with %s", id)
		}
	}
	wantError(t, "readyz", w.get("/readyz"), 503, "unavailable")
	if got := w.get("/healthz"); got.StatusCode != 200 {
		t.Errorf("healthz: %d", got.StatusCode)
	}
}
