package server_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"callvault"
	"callvault/archive"
)

// faulty is blobs that panic: at once, or when they are read.
type faulty struct {
	archive.Blobs
	late bool
}

func (f *faulty) Open(ctx context.Context, key string, size int64) (io.ReadSeekCloser, error) {
	if !f.late {
		panic("a secret of the inside")
	}
	file, err := f.Blobs.Open(ctx, key, size)
	return lateFault{file}, err
}

type lateFault struct{ io.ReadSeekCloser }

func (lateFault) Read([]byte) (int, error) { panic("a secret of the inside") }

func TestPanics(t *testing.T) {
	var blobs *faulty
	w := newWorld(t, func(b archive.Blobs) archive.Blobs {
		blobs = &faulty{Blobs: b}
		return blobs
	})
	w.keep(recording("a", 0))
	got := w.get(audioPath("acme-ns", "a"))
	text := wantError(t, "at once", got, 500, "internal")
	if id := got.Header.Get("X-Request-Id"); strings.Contains(string(got.body), "secret") || !strings.Contains(text, id) ||
		!strings.Contains(w.log.String(), `"request_id":"`+id+`","panic":"a secret of the inside"`) {
		t.Errorf("%s\n%s", got.body, w.log)
	}
	blobs.late = true
	answer, err := w.http.Client().Do(w.request("GET", audioPath("acme-ns", "a")))
	if err == nil {
		body, readErr := io.ReadAll(answer.Body)
		if err = readErr; strings.Contains(string(body), "secret") {
			t.Errorf("body %q", body)
		}
	}
	if err == nil || strings.Count(w.log.String(), `"panic":"a secret`) < 2 {
		t.Errorf("in the midst: %v\n%s", err, w.log)
	}
	if got := w.get(list); got.StatusCode != 200 {
		t.Errorf("after that: %d", got.StatusCode)
	}
}

// line is a line of the log.
type line struct {
	Msg       string  `json:"msg"`
	Level     string  `json:"level"`
	RequestID string  `json:"request_id"`
	Method    string  `json:"method"`
	Endpoint  string  `json:"endpoint"`
	User      string  `json:"user"`
	Tenant    string  `json:"tenant"`
	Key       string  `json:"key"`
	Status    int     `json:"status"`
	Bytes     int     `json:"bytes"`
	Ms        float64 `json:"ms"`
	Error     string  `json:"error"`
}

func TestRequestLog(t *testing.T) {
	w := newWorld(t)
	w.keep(recording("a", 0))
	n := len(clips()[0])
	for _, c := range []struct {
		method, path string
		header       []string
		want         line
	}{
		{"GET", audioPath("acme-ns", "a"), nil, line{Endpoint: "audio", User: "robot", Tenant: "acme-ns", Key: "a", Status: 200, Bytes: n}},
		{"HEAD", audioPath("acme-ns", "a"), nil, line{Endpoint: "audio", User: "robot", Tenant: "acme-ns", Key: "a", Status: 200}},
		{"GET", audioPath("acme-ns", "a"), []string{"Range", "bytes=0-9"}, line{Endpoint: "audio", User: "robot", Tenant: "acme-ns", Key: "a", Status: 206, Bytes: 10}},
		{"GET", list + "&tenantName=acme-ns", nil, line{Endpoint: "recordings", User: "robot", Tenant: "acme-ns", Status: 200}},
		{"GET", calls, nil, line{Endpoint: "call-recording-info", User: "robot", Status: 200}},
		{"GET", calls, []string{"Authorization", "Bearer cvk_wrong"}, line{Endpoint: "call-recording-info", Status: 401}},
		{"POST", uploadPath, nil, line{Endpoint: "upload", User: "robot", Tenant: "acme-ns", Status: 415}},
		{"GET", "/nothing?key=" + w.keys["robot"], nil, line{Endpoint: "none", Status: 404}},
		{"GET", "/" + w.keys["robot"], nil, line{Endpoint: "none", Status: 404}},
		{"GET", audioPath("acme-ns", w.keys["robot"]), nil, line{Endpoint: "audio", User: "robot", Tenant: "acme-ns", Key: "cvk_...", Status: 404}},
		{"GET", audioPath(w.keys["robot"], "a"), nil, line{Endpoint: "audio", User: "robot", Tenant: "cvk_...", Key: "a", Status: 403}},
		{"GET", list + "&tenantName=" + w.keys["robot"], nil, line{Endpoint: "recordings", User: "robot", Status: 403}},
		{"GET", "/healthz", nil, line{Endpoint: "healthz", Status: 200, Bytes: 15}},
	} {
		before := len(w.log.String())
		got := w.do(c.method, c.path, c.header...)
		c.want.RequestID, c.want.Method, c.want.Msg, c.want.Level = got.Header.Get("X-Request-Id"), c.method, "request", "INFO"
		text := w.logSince(before)
		var logged line
		if err := json.Unmarshal([]byte(text), &logged); err != nil { // one line is one value
			t.Errorf("%s %s: %v in %s", c.method, c.path, err, text)
		}
		if strings.Contains(string(got.body), w.keys["robot"]) {
			t.Errorf("%s %s: the answer holds the key: %s", c.method, c.path, got.body)
		}
		if c.want.Bytes == 0 && c.method != "HEAD" {
			c.want.Bytes = len(got.body)
		}
		if logged.Ms < 0 || logged.Ms > 60_000 || (logged.Error == "") != (c.want.Status < 400) {
			t.Errorf("%s %s: %+v", c.method, c.path, logged)
		}
		if logged.Ms, logged.Error = 0, ""; logged != c.want {
			t.Errorf("%s %s: got %+v, want %+v", c.method, c.path, logged, c.want)
		}
	}
	if strings.Contains(w.log.String(), w.keys["robot"][:12]) {
		t.Error("the log holds a key")
	}
}

// logSince returns what was logged since then, and waits until there is something: a
// client may have its response first.
func (w *world) logSince(before int) string {
	for deadline := time.Now().Add(time.Minute); len(w.log.String()) == before && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	return w.log.String()[before:]
}

func TestMetrics(t *testing.T) {
	w := newWorld(t)
	w.keep(recording("a", 0))
	pending := recording("b", 1)
	pending.Status = callvault.Pending
	w.keep(pending)
	w.setTenant("acme-ns", func(t *callvault.Tenant) { t.RequestLimit = true })
	w.egress("acme-ns", int64(len(clips()[0])))
	for range 4 {
		w.get(audioPath("acme-ns", "a"))
	}
	w.charged("acme-ns", int64(len(clips()[0])))
	w.user("boss", callvault.Grant{AllTenants: true}, callvault.Admin)
	wantError(t, "without a key", w.get("/metrics", "Authorization", ""), 401, "unauthorized")
	wantError(t, "without admin", w.get("/metrics"), 403, "forbidden")
	text := string(w.get("/metrics", w.as("boss")...).body)
	for _, want := range []string{
		`callvault_requests_total{endpoint="audio",status="200"} 1`,
		`callvault_requests_total{endpoint="audio",status="509"} 2`,
		`callvault_requests_total{endpoint="audio",status="429"} 1`,
		`callvault_requests_total{endpoint="metrics",status="403"} 1`,
		`callvault_refused_total{status="429"} 1`,
		`callvault_refused_total{status="509"} 2`,
		`callvault_request_seconds_count{endpoint="audio"} 4`,
		fmt.Sprintf(`callvault_egress_bytes_total{tenant="acme-ns"} %d`, len(clips()[0])),
		`callvault_recordings_held{tenant="acme-ns"} 1`,
		`callvault_recordings_known{tenant="acme-ns"} 2`,
		`callvault_build_info{version="test"} 1`,
		`callvault_disk_free_bytes `,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	recorder := httptest.NewRecorder()
	w.server.MetricsHandler().ServeHTTP(recorder, httptest.NewRequest("GET", "/metrics", nil))
	if recorder.Code != 200 || !strings.Contains(recorder.Body.String(), "callvault_refused_total") {
		t.Errorf("on an address of its own: %d", recorder.Code)
	}
	wantError(t, "an admin may not read", w.get(list, w.as("boss")...), 403, "forbidden")
}

// TestMetricsWithoutTheDatabase: the metrics that the service counts itself are there,
// and it asks the database only now and then.
func TestMetricsWithoutTheDatabase(t *testing.T) {
	w := newWorld(t)
	must(t, w.db.Close())
	for range 3 {
		recorder := httptest.NewRecorder()
		w.server.MetricsHandler().ServeHTTP(recorder, httptest.NewRequest("GET", "/metrics", nil))
		if recorder.Code != 200 || !strings.Contains(recorder.Body.String(), "callvault_refused_total") {
			t.Errorf("%d %s", recorder.Code, recorder.Body)
		}
	}
	if asked := strings.Count(w.log.String(), "database is closed"); asked != 1 {
		t.Errorf("the database was asked %d times:\n%s", asked, w.log)
	}
}

func TestHealth(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/healthz", "/readyz", "/openapi.json"} {
		for _, method := range []string{"GET", "HEAD"} {
			got := w.do(method, path, "Authorization", "")
			if got.StatusCode != 200 || got.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s %s: %d %v", method, path, got.StatusCode, got.Header)
			}
			if method == "GET" && !json.Valid(got.body) {
				t.Errorf("%s is no JSON: %.100s", path, got.body)
			}
		}
	}
	w.server.Stopping()
	wantError(t, "readyz when stopping", w.get("/readyz"), 503, "unavailable")
	if got := w.get("/healthz"); got.StatusCode != 200 {
		t.Errorf("healthz when stopping: %d", got.StatusCode)
	}
	if got := w.get(list); got.StatusCode != 200 {
		t.Errorf("a request that still comes: %d", got.StatusCode)
	}
}

// TestReadyMeansReadable: a service is not ready if its database is there but cannot be
// read, such as when its disk is gone.
func TestReadyMeansReadable(t *testing.T) {
	for _, table := range []string{"recordings", "account_revision"} {
		w := newWorld(t)
		if got := w.get("/readyz"); got.StatusCode != 200 {
			t.Errorf("readyz of an empty archive: %d", got.StatusCode)
		}
		must(t, w.db.Tx(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.Exec(`ALTER TABLE ` + table + ` RENAME TO gone`)
			return err
		}))
		wantError(t, "readyz without "+table, w.get("/readyz"), 503, "unavailable")
	}
}

// TestHugeHeaders sends more headers than are accepted.
func TestHugeHeaders(t *testing.T) {
	w := newWorld(t)
	got := w.get(list, "X-Long", strings.Repeat("x", 100<<10))
	if got.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %d", got.StatusCode)
	}
}

// FuzzListQuery asks the handler for a list with any query. The response is never a 5xx,
// and the times are accepted exactly if callvault.ParseTime accepts them.
func FuzzListQuery(f *testing.F) {
	for _, seed := range []string{
		"2022-09-10T23:59:59.000-06:00 ", "20240212T1200Z", "2024-02-12t12:00:00,5z", "2024-02-12T14:00:01 02:00",
		"", "2024-02-12", "2024-02-12T24:00Z", "9999-12-31T23:59:59.999Z", "0000-01-01T00:00+23:59", "\x00", "é",
	} {
		f.Add(seed, "2024-02-13T00:00:00Z", "acme-ns")
	}
	f.Add("2024-02-12T12:00Z", "2024-02-12T12:00Z", "")
	f.Add("2024-02-12T12:00Z", "2024-02-13T12:00Z", strings.Repeat("t", 256))
	w := newWorld(f)
	w.keep(recording("a", 0))
	f.Fuzz(func(t *testing.T, from, to, tenant string) {
		values := url.Values{"startTime": {from}, "endTime": {to}, "tenantName": {tenant}}
		got := w.direct("GET", api+"recordings?"+values.Encode(), "robot")
		start, startErr := callvault.ParseTime(from)
		end, endErr := callvault.ParseTime(to)
		want := 200
		switch {
		case startErr != nil, endErr != nil, start > end, callvault.CheckKey("tenantName", tenant) != nil:
			want = 400
		case tenant != "acme-ns" && tenant != "beta-co":
			want = 403
		}
		if got.Code != want || !json.Valid(got.Body.Bytes()) {
			t.Errorf("%q to %q of %q: %d %s, want %d", from, to, tenant, got.Code, got.Body, want)
		}
		if here := bytes.Contains(got.Body.Bytes(), []byte(`"a"`)); want == 200 && here != (tenant == "acme-ns" && start <= startMs && startMs < end) {
			t.Errorf("%q to %q of %q: %s", from, to, tenant, got.Body)
		}
	})
}

// TestClientsWhoLeave hangs up before the response; that is not an error of the service.
func TestClientsWhoLeave(t *testing.T) {
	w := newWorld(t)
	w.keep(recording("a", 0))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, path := range []string{list, calls, audioPath("acme-ns", "a")} {
		r := httptest.NewRequest("GET", path, nil).WithContext(ctx)
		setHeaders(r, w.keys["robot"], nil)
		recorder := httptest.NewRecorder()
		w.server.ServeHTTP(recorder, r)
		if recorder.Code == 500 {
			t.Errorf("%s: %d %s", path, recorder.Code, recorder.Body)
		}
	}
	if log := w.log.String(); strings.Contains(log, `"level":"ERROR"`) {
		t.Errorf("a client that left is logged as an error:\n%s", log)
	}
}
