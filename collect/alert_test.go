package collect_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"callvault/collect"
)

// hook is a webhook that takes alerts after refusing the first few.
type hook struct {
	t       *testing.T
	mu      sync.Mutex
	refuses int
	tries   int
	events  []collect.Event
}

func (h *hook) RoundTrip(r *http.Request) (*http.Response, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tries++
	if h.refuses > 0 {
		h.refuses--
		return &http.Response{StatusCode: 503, Status: "503 no", Body: http.NoBody, Request: r}, nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, []byte("shared"))
	mac.Write(body)
	if want := "sha256=" + hex.EncodeToString(mac.Sum(nil)); r.Header.Get("X-Callvault-Signature") != want {
		h.t.Errorf("the signature is %q, want %q", r.Header.Get("X-Callvault-Signature"), want)
	}
	if bytes.Contains(body, []byte(sourceKey)) {
		h.t.Errorf("the key is in %s", body)
	}
	var e collect.Event
	if err := json.Unmarshal(body, &e); err != nil || e.At != time.Now().UnixMilli() && h.tries == len(h.events)+1 {
		h.t.Errorf("%s: %v", body, err)
	}
	h.events = append(h.events, e)
	return &http.Response{StatusCode: 204, Status: "204", Body: http.NoBody, Request: r}, nil
}

func (h *hook) alerts() *collect.Alerts {
	return &collect.Alerts{URL: "https://hook.example/x", Secret: []byte("shared"), Log: slog.New(slog.NewTextHandler(io.Discard, nil)), HTTP: &http.Client{Transport: h}}
}

// told returns the alerts taken so far, and forgets them.
func (h *hook) told() (events []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		events = append(events, e.Event+" "+e.Tenant)
	}
	h.events = nil
	return events
}

func TestAlertsOfRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		fill(s, "acme-ns", 3)
		h := &hook{t: t, refuses: 3}
		v, source := newVault(t, tempDir(t)), from(t, s)
		want := func(events ...string) {
			t.Helper()
			report := v.run(t, source)
			h.alerts().SendReport(t.Context(), report)
			if got := h.told(); fmt.Sprint(got) != fmt.Sprint(events) {
				t.Errorf("told of %q, want %q", got, events)
			}
			time.Sleep(time.Hour)
		}
		want("run_finished ")
		if h.tries != 4 {
			t.Errorf("%d tries", h.tries)
		}
		s.add("acme-ns", "bad", ago(time.Hour)).fault = "status 404"
		s.recordings[0].times = -1
		s.recordings[len(s.recordings)-1].times = -1
		want("run_incomplete ")
		s.cap["acme-ns"] = 1
		s.add("acme-ns", "one-more", ago(time.Minute))
		want("run_incomplete ", "tenant_closed acme-ns")
		s.revoked = true
		want("source_failed ")
		got := v.Refusals()
		// Whichever request was first was refused: a list, or one for what is due.
		got[collect.Refused{Source: "acme", Status: 401}] += got[collect.Refused{Source: "acme", Tenant: "acme-ns", Status: 401}]
		for refused, want := range map[collect.Refused]int64{
			{Source: "acme", Status: 401}: 1, {Source: "acme", Tenant: "acme-ns", Status: 404}: 1, {Source: "acme", Tenant: "acme-ns", Status: 509}: 1,
		} {
			if got[refused] < want {
				t.Errorf("%+v is counted %d times, want %d or more", refused, got[refused], want)
			}
		}
		var none *collect.Alerts
		none.Send(t.Context(), collect.Event{})
		h.refuses, h.tries = 99, 0
		h.alerts().Send(t.Context(), collect.Event{Event: "x"})
		if h.tries != 6 {
			t.Errorf("%d tries of what is never taken", h.tries)
		}
	})
}

// TestNobodyTakesAlerts: once an alert of a run is not taken, those of its closed tenants
// are not tried; a watch repeats an alert that was not taken.
func TestNobodyTakesAlerts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		for i := range 40 {
			tenant := fmt.Sprint("tenant-", i)
			s.add(tenant, "r", ago(time.Hour))
			s.cap[tenant] = 0
		}
		h := &hook{t: t, refuses: 99}
		v, source := newVault(t, tempDir(t)), from(t, s)
		h.alerts().SendReport(t.Context(), v.run(t, source))
		if h.tries != 6 {
			t.Errorf("%d tries", h.tries)
		}
		s.revoked = true
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Hour)
		defer cancel()
		before := 0
		refuse := func(after time.Duration, n int) {
			time.AfterFunc(after, func() {
				h.mu.Lock()
				defer h.mu.Unlock()
				if tries := h.tries - before; n == 0 && (tries < 12 || tries > 12*7) {
					t.Errorf("%d tries in an hour", tries)
				}
				h.refuses, before = n, h.tries
			})
		}
		for _, from := range []time.Duration{collect.SilentAfter, collect.StaleAfter} {
			refuse(from, 1<<20)
			refuse(from+time.Hour, 0)
		}
		if err := v.Watch(ctx, []*collect.Source{source}, h.alerts()); err != nil {
			t.Error(err)
		}
		if got := h.told(); len(got) != 41 || got[0] != "no_run " || !strings.HasPrefix(got[40], "tenant_stale tenant-") {
			t.Errorf("told of %q", got)
		}
	})
}

// moved is a webhook that has moved to another address, where everything is answered with
// 200.
type moved struct{ status, posts, others int }

func (m *moved) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := &http.Response{StatusCode: 200, Status: "200 OK", Body: http.NoBody, Request: r}
	switch {
	case r.URL.Path == "/x":
		answer.StatusCode, answer.Header = m.status, http.Header{"Location": {"https://hook.example/y"}}
	case r.Method == http.MethodPost:
		m.posts++
	default:
		m.others++
	}
	return answer, nil
}

// TestRedirectedAlerts: an event counts as taken where it was posted, not where a page was
// fetched instead.
func TestRedirectedAlerts(t *testing.T) {
	for status, follows := range map[int]bool{301: false, 302: false, 303: false, 307: true, 308: true} {
		synctest.Test(t, func(t *testing.T) {
			m := &moved{status: status}
			a := (&hook{}).alerts()
			a.HTTP.Transport = m
			taken := a.Send(t.Context(), collect.Event{Event: "x"})
			if taken != follows || (m.posts == 1) != follows || m.others != 0 {
				t.Errorf("%d: taken %v, sent on %d times, other requests %d", status, taken, m.posts, m.others)
			}
		})
	}
}

// lostAt is a webhook that cannot be reached.
type lostAt struct{}

func (lostAt) RoundTrip(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }

// TestSecretAddress: many services put a secret into the address of a webhook; the log
// never shows it.
func TestSecretAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		a := &collect.Alerts{URL: "https://hook.example/sesame", Log: slog.New(slog.NewTextHandler(&log, nil)), HTTP: &http.Client{Transport: lostAt{}}}
		if a.Send(t.Context(), collect.Event{Event: "x"}) || !strings.Contains(log.String(), "unexpected EOF") || strings.Contains(log.String(), "sesame") {
			t.Errorf("the log has %s", &log)
		}
	})
}

// TestWatchAfterAWrongClock: a run that is recorded years in the future does not silence a
// watch until then.
func TestWatchAfterAWrongClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		fill(s, "acme-ns", 1)
		h := &hook{t: t}
		v, source := newVault(t, tempDir(t)), from(t, s)
		complete(t, v.run(t, source))
		ahead := time.Now().AddDate(10, 0, 0).UnixMilli()
		if err := errors.Join(execute(v, `UPDATE sources SET complete_ms = $1`, ahead), execute(v, `UPDATE collected_tenants SET complete_ms = $1`, ahead)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 97*time.Hour)
		defer cancel()
		if err := v.Watch(ctx, []*collect.Source{source}, h.alerts()); err != nil {
			t.Error(err)
		}
		if got := fmt.Sprint(h.told()); got != "[no_run  tenant_stale acme-ns]" {
			t.Errorf("told of %s", got)
		}
	})
}

// TestWatch sends one alert about what does not happen, and another after it was fixed and
// fails again.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		fill(s, "acme-ns", 1)
		h := &hook{t: t}
		v, source := newVault(t, tempDir(t)), from(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- v.Watch(ctx, []*collect.Source{source}, h.alerts()) }()
		want := func(after time.Duration, events ...string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if got := h.told(); fmt.Sprint(got) != fmt.Sprint(events) {
				t.Errorf("at %v told of %q, want %q", time.Now().UTC(), got, events)
			}
		}
		want(25 * time.Hour)
		want(2*time.Hour, "no_run ")
		want(24 * time.Hour)
		complete(t, v.run(t, source))
		want(25 * time.Hour)
		s.revoked = true
		v.run(t, source) // fails, which is no success
		want(2*time.Hour, "no_run ")
		want(4*24*time.Hour, "tenant_stale acme-ns")
		s.revoked = false
		s.add("acme-ns", "bad", ago(time.Hour)).fault = "status 404"
		s.recordings[1].times = -1
		v.run(t, source) // succeeds, incomplete
		want(25 * time.Hour)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
