package server_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"callvault"
)

// limited is a world in which the request limit of acme-ns and of robot is on,
// and acme-ns has the recording a.
func limited(t *testing.T) *world {
	w := newWorld(t)
	w.keep(recording("a", 0))
	w.setTenant("acme-ns", func(t *callvault.Tenant) { t.RequestLimit = true })
	w.setUser("robot", func(u *callvault.ServiceUser) { u.RequestLimit = true })
	return w
}

// wantStatuses makes a request once for each status.
func wantStatuses(t *testing.T, what string, ask func() *httptest.ResponseRecorder, statuses ...int) {
	t.Helper()
	for i, want := range statuses {
		if got := ask(); got.Code != want {
			t.Errorf("%s, request %d: got %d, want %d", what, i+1, got.Code, want)
		}
	}
}

func (w *world) asker(method, path string, header ...string) func() *httptest.ResponseRecorder {
	return func() *httptest.ResponseRecorder { return w.direct(method, path, "robot", header...) }
}

func TestFourthRequestIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := limited(t)
		audio := w.asker("GET", audioPath("acme-ns", "a"))
		wantStatuses(t, "at once", audio, 200, 200, 200, 429)
		wantStatuses(t, "another tenant meanwhile", w.asker("GET", audioPath("beta-co", "a")), 404, 404, 404, 404)
		refused := audio()
		got := reply{refused.Result(), refused.Body.Bytes()}
		wantError(t, "the fourth", got, 429, "too_many_requests")
		if got.Header.Get("Retry-After") != "10" || len(got.body) > 500 {
			t.Errorf("Retry-After %s, %d bytes", got.Header.Get("Retry-After"), len(got.body))
		}
		time.Sleep(9999 * time.Millisecond)
		wantStatuses(t, "just too early", audio, 429)
		time.Sleep(time.Millisecond)
		wantStatuses(t, "after Retry-After, refusals did not count", audio, 200, 200, 200, 429)
	})
}

func TestEightRequestsThreeSecondsApart(t *testing.T) {
	for _, c := range []struct {
		apart time.Duration
		want  []int
	}{
		{3 * time.Second, []int{200, 200, 200, 200, 200, 200, 200, 200}},
		{2750 * time.Millisecond, []int{200, 200, 200, 200, 200, 200, 200, 200}},
		{2749 * time.Millisecond, []int{200, 200, 200, 429, 200, 200, 200, 429}},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := limited(t)
			ask := w.asker("GET", audioPath("acme-ns", "a"))
			wantStatuses(t, c.apart.String(), func() *httptest.ResponseRecorder {
				got := ask()
				time.Sleep(c.apart)
				return got
			}, c.want...)
		})
	}
}

// TestWhatCounts makes three requests of a kind. A fourth shows whether they were
// counted.
func TestWhatCounts(t *testing.T) {
	for _, c := range []struct {
		name   string
		path   string
		method string
		header []string
		status int // of the three
		then   int // of GET audio
	}{
		{"GET", audioPath("acme-ns", "a"), "GET", nil, 200, 429},
		{"HEAD", audioPath("acme-ns", "a"), "HEAD", nil, 200, 429},
		{"404", audioPath("acme-ns", "none"), "GET", nil, 404, 429},
		{"304", audioPath("acme-ns", "a"), "GET", []string{"If-None-Match", "*"}, 304, 429},
		{"416", audioPath("acme-ns", "a"), "GET", []string{"Range", "bytes=-0"}, 416, 429},
		{"509", audioPath("acme-ns", "big"), "GET", nil, 509, 429},
		{"its own list", list + "&tenantName=acme-ns", "GET", nil, 200, 429},
		{"its own calls", calls + "&tenantName=acme-ns&tenantName=acme-ns", "GET", nil, 200, 429},
		{"lists of all", list, "GET", nil, 200, 200},
		{"lists of two", list + "&tenantName=acme-ns&tenantName=beta-co", "GET", nil, 200, 200},
		{"400", audioPath("acme-ns", "a") + "?format=mp3", "GET", nil, 400, 200},
		{"401", audioPath("acme-ns", "a"), "GET", []string{"Authorization", ""}, 401, 200},
		{"403", audioPath("gamma", "a"), "GET", nil, 403, 200},
		{"405", audioPath("acme-ns", "a"), "PUT", nil, 405, 200},
		{"upload", uploadPath, "POST", nil, 415, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := limited(t)
				w.tenant(callvault.Tenant{Name: "gamma"})
				w.keep(recording("big", 1), longest())
				if c.status != 200 {
					w.egress("acme-ns", int64(len(clips()[0])))
				}
				wantStatuses(t, "those", w.asker(c.method, c.path, c.header...), c.status, c.status, c.status)
				wantStatuses(t, "audio then", w.asker("GET", audioPath("acme-ns", "a")), c.then)
			})
		})
	}
}

func TestListsCountAgainstTheUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := limited(t)
		w.user("other", callvault.Grant{AllTenants: true}, callvault.Read)
		w.setUser("other", func(u *callvault.ServiceUser) { u.RequestLimit = true })
		wantStatuses(t, "mixed", w.asker("GET", list), 200)
		wantStatuses(t, "mixed", w.asker("GET", calls), 200)
		wantStatuses(t, "mixed", w.asker("HEAD", list+"&tenantName=acme-ns&tenantName=beta-co"), 200)
		refused := w.direct("GET", calls, "robot")
		wantError(t, "the fourth", reply{refused.Result(), refused.Body.Bytes()}, 429, "too_many_requests")
		wantStatuses(t, "one tenant's list", w.asker("GET", list+"&tenantName=acme-ns"), 200)
		wantStatuses(t, "another user", func() *httptest.ResponseRecorder { return w.direct("GET", list, "other") }, 200, 200, 200, 429)
		wantStatuses(t, "a tenant is limited whoever asks", func() *httptest.ResponseRecorder {
			return w.direct("GET", audioPath("acme-ns", "a"), "other")
		}, 200, 200, 429)
	})
}

func TestRateLimitHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := limited(t)
		for i, want := range []string{"r=2;t=10", "r=1;t=9", "r=0;t=8", "r=0;t=7"} {
			for _, path := range []string{audioPath("acme-ns", "a"), list} {
				header := w.direct("GET", path, "robot").Result().Header
				if got := header.Values("RateLimit"); len(got) != 1 || got[0] != `"recordings";`+want {
					t.Errorf("request %d: RateLimit %q, want %s", i+1, got, want)
				}
				if got := header.Values("RateLimit-Policy"); len(got) != 1 || got[0] != `"recordings";q=3;w=10` {
					t.Errorf("request %d: RateLimit-Policy %q", i+1, got)
				}
				if after := header.Get("Retry-After"); (i == 3) != (after == "7") {
					t.Errorf("request %d: Retry-After %q", i+1, after)
				}
			}
			time.Sleep(time.Second)
		}
		w.setTenant("acme-ns", func(t *callvault.Tenant) { t.RequestLimit = false })
		w.setUser("robot", func(u *callvault.ServiceUser) { u.RequestLimit = false })
		for _, path := range []string{audioPath("acme-ns", "a"), list, list + "&tenantName=acme-ns"} {
			for range 5 {
				got := w.direct("GET", path, "robot")
				if got.Code != 200 || got.Result().Header.Values("RateLimit") != nil || got.Result().Header.Values("RateLimit-Policy") != nil {
					t.Errorf("limit off: %d %v", got.Code, got.Result().Header)
				}
			}
		}
	})
}

// egress sets a tenant's egress limit.
func (w *world) egress(tenant string, limit int64) {
	w.t.Helper()
	w.setTenant(tenant, func(t *callvault.Tenant) { t.EgressOverride = &limit })
}

// used is the egress that a tenant is charged for.
func (w *world) used(tenant string) int64 {
	w.t.Helper()
	kept, err := w.accounts.Tenant(context.Background(), tenant)
	must(w.t, err)
	usage, err := w.meter.Usage(context.Background(), kept, time.Now())
	must(w.t, err)
	return usage.Used
}

// charged returns used once that is as much as wanted, or after a while: a client has
// all bytes a moment before they are charged.
func (w *world) charged(tenant string, want int64) int64 {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); w.used(tenant) < want && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	return w.used(tenant)
}

func TestEgressLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.keep(recording("a", 0))
		n := int64(len(clips()[0]))
		w.egress("acme-ns", 2*n)
		audio := w.asker("GET", audioPath("acme-ns", "a"))
		wantStatuses(t, "up to the limit, to the byte", audio, 200, 200, 509)
		refused := audio()
		got := reply{refused.Result(), refused.Body.Bytes()}
		text := wantError(t, "beyond it", got, 509, "bandwidth_limit_exceeded")
		after, err := strconv.Atoi(got.Header.Get("Retry-After"))
		must(t, err)
		frees := time.Now().Add(time.Duration(after) * time.Second).UTC()
		if !strings.Contains(text, frees.Format("2006-01-02T15:04:05")) {
			t.Errorf("the message %q does not name %v", text, frees)
		}
		for _, name := range []string{"Etag", "Content-Disposition", "Repr-Digest", "Accept-Ranges", "Last-Modified", "Content-Range"} {
			if got.Header.Get(name) != "" {
				t.Errorf("509 with %s %q", name, got.Header.Get(name))
			}
		}
		for _, free := range []struct {
			method, path string
			header       []string
			status       int
		}{
			{"HEAD", audioPath("acme-ns", "a"), nil, 200}, {"GET", audioPath("acme-ns", "a"), []string{"If-None-Match", "*"}, 304},
			{"GET", list, nil, 200}, {"GET", calls, nil, 200}, {"GET", list + "&tenantName=acme-ns", nil, 200},
			{"GET", audioPath("acme-ns", "a"), []string{"Range", "bytes=-0"}, 416}, {"GET", audioPath("beta-co", "a"), nil, 404},
			{"GET", audioPath("acme-ns", "a"), []string{"Range", "bytes=0-0"}, 509},
			{"GET", audioPath("acme-ns", "a") + "?format=wav", nil, 509},
		} {
			wantStatuses(t, free.method+" beyond the limit", w.asker(free.method, free.path, free.header...), free.status)
		}
		if used := w.used("acme-ns"); used != 2*n {
			t.Errorf("charged %d, want %d", used, 2*n)
		}
		time.Sleep(time.Duration(after)*time.Second - time.Second)
		wantStatuses(t, "a second before the time that was named", audio, 509)
		time.Sleep(time.Second)
		wantStatuses(t, "then", audio, 200)
	})
}

func TestEgressCountsWhatIsSent(t *testing.T) {
	w := newWorld(t)
	w.keep(recording("a", 0))
	path, n := audioPath("acme-ns", "a"), int64(len(clips()[0]))
	want := int64(0)
	for _, c := range []struct {
		what, path, header, value string
		bytes                     int64
	}{
		{"whole", path, "", "", n}, {"a range", path, "Range", "bytes=100-299", 200}, {"the end", path, "Range", "bytes=-7", 7},
		{"out of range", path, "Range", "bytes=-0", 0}, {"not modified", path, "If-None-Match", "*", 0},
	} {
		got := w.get(c.path, c.header, c.value)
		want += c.bytes
		if used := w.charged("acme-ns", want); used != want {
			t.Errorf("%s: %d, charged %d in all, want %d", c.what, got.StatusCode, used, want)
		}
	}
	want += int64(len(w.get(path + "?format=wav").body))
	if used := w.charged("acme-ns", want); used != want {
		t.Errorf("WAV: charged %d in all, want %d", used, want)
	}
	// Egress is counted even without agents or with the limit off. The limit applies
	// once the agents are set.
	w.setTenant("acme-ns", func(t *callvault.Tenant) { none := int64(0); t.Agents = &none })
	wantError(t, "no agents", w.get(path), 509, "bandwidth_limit_exceeded")
	w.setTenant("acme-ns", func(t *callvault.Tenant) { t.EgressOff = true })
	if got := w.get(path); got.StatusCode != 200 {
		t.Errorf("limit off: %d", got.StatusCode)
	}
}

func TestResetUsageBesideTheService(t *testing.T) {
	w := newWorld(t)
	w.keep(recording("a", 0))
	w.egress("acme-ns", int64(len(clips()[0])))
	path := audioPath("acme-ns", "a")
	for range 2 {
		if got := w.get(path); got.StatusCode != 200 {
			t.Errorf("with room: %d", got.StatusCode)
		}
		wantError(t, "without", w.get(path), 509, "bandwidth_limit_exceeded")
		must(t, w.accounts.ResetUsage(context.Background(), "acme-ns"))
	}
}

// TestHangUpIsChargedWhatLeft aborts a download of a WAV of a megabyte, at once and
// after it has stalled for a while: what the kernel could have buffered in the meantime
// was not sent.
func TestHangUpIsChargedWhatLeft(t *testing.T) {
	for _, stall := range []time.Duration{0, 300 * time.Millisecond} {
		w := newWorld(t)
		w.keep(recording("a", 0), longest())
		whole := w.do(http.MethodHead, audioPath("acme-ns", "a")+"?format=wav").ContentLength
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.url(), "http://"))
		must(t, err)
		must(t, conn.(*net.TCPConn).SetReadBuffer(4096))
		fmt.Fprintf(conn, "GET %s?format=wav HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", audioPath("acme-ns", "a"), w.keys["robot"])
		_, err = io.ReadFull(conn, make([]byte, 1000))
		must(t, err)
		time.Sleep(stall)
		conn.Close()
		most := whole
		if runtime.GOOS == "linux" {
			most = 300_000
		}
		if used := w.charged("acme-ns", 1); used < 500 || used > most || whole < 2*most && most < whole {
			t.Errorf("hung up after %v: charged %d of %d, want %d at most", stall, used, whole, most)
		}
	}
}

// longest is the longest clip.
func longest() (clip []byte) {
	for _, c := range clips() {
		if len(c) > len(clip) {
			clip = c
		}
	}
	return clip
}

// TestParallelDownloadsCannotOvershoot asks for many downloads at once where
// there is room for five.
func TestParallelDownloadsCannotOvershoot(t *testing.T) {
	w := newWorld(t)
	w.keep(recording("a", 0))
	n := int64(len(clips()[0]))
	w.egress("acme-ns", 5*n+n/2)
	w.url()
	var served, refused, bytes atomic.Int64
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			switch got := w.get(audioPath("acme-ns", "a")); got.StatusCode {
			case 200:
				served.Add(1)
				bytes.Add(int64(len(got.body)))
			case 509:
				refused.Add(1)
			}
		})
	}
	wg.Wait()
	if served.Load() != 5 || refused.Load() != 35 || w.charged("acme-ns", bytes.Load()) != bytes.Load() {
		t.Errorf("%d served, %d refused, %d bytes charged of %d sent", served.Load(), refused.Load(), w.used("acme-ns"), bytes.Load())
	}
}
