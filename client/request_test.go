package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"callvault"
)

// TestRedirectAbroad: neither the key nor any request goes to another host, port or scheme.
func TestRedirectAbroad(t *testing.T) {
	var visits atomic.Int32
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { visits.Add(1) }))
	t.Cleanup(evil.Close)
	var to string
	status := 0
	c, server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(status)
	})
	host := strings.TrimPrefix(server.URL, "http://")
	_, port, _ := net.SplitHostPort(host)
	for _, to = range []string{
		evil.URL + "/x", "//" + strings.TrimPrefix(evil.URL, "http://") + "/x", "https://" + host + "/x", "http://localhost:" + port + "/x",
		"http://bob:hunter2@" + host + "/x", evil.URL + "/?key=" + testKey, "ftp://" + host, "", "http://[::bad/",
	} {
		for _, status = range []int{301, 302, 303, 307, 308} {
			_, audioErr := c.Audio(t.Context(), "t", "k")
			for _, err := range []error{audioErr, collect(t, c).err} {
				refusal, ok := RefusalOf(err)
				if !errors.Is(err, Redirected) || !errors.Is(err, callvault.Code(status)) || !ok || refusal.Status != status {
					t.Errorf("%s: got %v", to, err)
				}
				if strings.Contains(fmt.Sprint(err, refusal), testKey) || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("%s: a secret is in %v", to, err)
				}
				if strings.HasPrefix(to, evil.URL+"/x") && !strings.Contains(err.Error(), evil.URL+"/x") {
					t.Errorf("%v does not say where it was to go", err)
				}
			}
		}
	}
	if visits.Load() != 0 {
		t.Errorf("the other host was visited %d times", visits.Load())
	}
}

// TestRedirectDowngrade: what began with https does not continue with http.
func TestRedirectDowngrade(t *testing.T) {
	var to string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, to, http.StatusFound)
	}))
	t.Cleanup(server.Close)
	to = strings.Replace(server.URL, "https:", "http:", 1) + "/x"
	c := newClient(t, server.URL, WithTransport(server.Client().Transport))
	if err := collect(t, c).err; !errors.Is(err, Redirected) {
		t.Errorf("got %v", err)
	}
}

func TestRedirectAtHome(t *testing.T) {
	hops, visits := 0, 0
	_, server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+testKey || r.Header.Get("Accept-Encoding") != "identity" {
			t.Errorf("hop %d came with %v", visits, r.Header)
		}
		if visits++; visits > hops {
			io.WriteString(w, r.RequestURI)
			return
		}
		http.Redirect(w, r, fmt.Sprintf("/%%2E%%2E/%d", visits), http.StatusTemporaryRedirect)
	})
	c := newClient(t, strings.Replace(server.URL, "http:", "HTTP:", 1))
	for hops = range 6 {
		visits = 0
		audio, err := c.Audio(t.Context(), "t", "k")
		if hops > 3 {
			if !errors.Is(err, Redirected) || !strings.Contains(err.Error(), "more than 3 times") || visits != 4 {
				t.Errorf("%d hops: %d requests, got %v", hops, visits, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%d hops: %v", hops, err)
			continue
		}
		got, _ := io.ReadAll(audio.Body)
		audio.Body.Close()
		if want := fmt.Sprintf("/%%2E%%2E/%d", hops); hops > 0 && string(got) != want {
			t.Errorf("%d hops led to %s, want %s", hops, got, want)
		}
	}
}

// TestBeforeRedirect: the caller can delay or refuse each further request.
func TestBeforeRedirect(t *testing.T) {
	visits := 0
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if visits++; visits <= 3 {
			http.Redirect(w, r, fmt.Sprintf("/%d", visits), http.StatusFound)
		}
	})
	waits := 0
	ctx := BeforeRedirect(t.Context(), func(context.Context) error {
		if waits++; waits != visits {
			t.Errorf("%d waits after %d requests", waits, visits)
		}
		return nil
	})
	audio, err := c.Audio(ctx, "t", "k")
	if err != nil || waits != 3 {
		t.Fatal(waits, err)
	}
	audio.Body.Close()
	visits = 0
	enough := errors.New("enough")
	ctx = BeforeRedirect(t.Context(), func(context.Context) error { return enough })
	if _, err := c.Audio(ctx, "t", "k"); !errors.Is(err, enough) || visits != 1 {
		t.Errorf("%d requests, %v", visits, err)
	}
}

// TestSentOnce: a request that the server may have seen is not silently sent again.
func TestSentOnce(t *testing.T) {
	var requests atomic.Int32
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) > 1 {
			conn, _, _ := w.(http.Hijacker).Hijack()
			conn.Close()
		}
	})
	read(t, c)
	_, err := c.Audio(t.Context(), "t", "k")
	if !errors.Is(err, Reset) {
		t.Errorf("got %v", err)
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("the server saw %d requests, want 2", n)
	}
}

func TestHTTP2(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Proto)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	c := newClient(t, server.URL, WithTransport(server.Client().Transport))
	for range 2 {
		if got := read(t, c); got != "HTTP/2.0" {
			t.Errorf("got %s", got)
		}
	}
}

func read(t *testing.T, c *Client) string {
	t.Helper()
	audio, err := c.Audio(t.Context(), "t", "k")
	if err != nil {
		t.Fatal(err)
	}
	defer audio.Body.Close()
	text, err := io.ReadAll(audio.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestReuse: one connection serves all requests, whatever the answers were, even if their
// bodies were not read.
func TestReuse(t *testing.T) {
	n := 0
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if n++; n%2 == 0 {
			w.WriteHeader(http.StatusTooManyRequests)
		}
		io.WriteString(w, strings.Repeat("[]", 500))
	})
	dialled := 0
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{ConnectStart: func(string, string) { dialled++ }})
	for range 10 {
		if audio, err := c.Audio(ctx, "t", "k"); err == nil {
			audio.Body.Close()
		}
	}
	if dialled != 1 {
		t.Errorf("%d connections, want 1", dialled)
	}
}

func TestFaults(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = quiet
	secure.StartTLS()
	t.Cleanup(secure.Close)
	var lookup *net.DNSError
	for name, test := range map[string]struct {
		client *Client
		fault  Fault
		also   func(error) bool
	}{
		"nobody listens": {newClient(t, "http://"+closed.Addr().String()), Unreachable,
			func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }},
		"no such name":        {newClient(t, "http://callvault.invalid"), Unresolved, func(err error) bool { return errors.As(err, &lookup) }},
		"no TLS":              {newClient(t, strings.Replace(plain.URL, "http:", "https:", 1)), Untrusted, nil},
		"unknown certificate": {newClient(t, secure.URL), Untrusted, nil},
		"closed without answer": {serveRaw(t, func(net.Conn, *http.Request) {}), Reset,
			func(err error) bool { return errors.Is(err, io.EOF) }},
		"reset": {serveRaw(t, func(conn net.Conn, r *http.Request) { conn.(*net.TCPConn).SetLinger(0) }), Reset,
			func(err error) bool { return errors.Is(err, syscall.ECONNRESET) }},
		"no HTTP":    {serveRaw(t, func(conn net.Conn, r *http.Request) { io.WriteString(conn, "220 mail.example ESMTP\r\n") }), BadAnswer, nil},
		"echo":       {serveRaw(t, func(conn net.Conn, r *http.Request) { io.WriteString(conn, r.Header.Get("Authorization")+"\r\n\r\n") }), BadAnswer, nil},
		"header cut": {serveRaw(t, func(conn net.Conn, r *http.Request) { io.WriteString(conn, "HTTP/1.1 200 OK\r\n") }), Reset, nil},
		"header without end": {serveRaw(t, func(conn net.Conn, r *http.Request) {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
			for range 2 * maxHeaderBytes / 1000 {
				io.WriteString(conn, "X: "+strings.Repeat("x", 1000)+"\r\n")
			}
		}), BadAnswer, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, audioErr := test.client.Audio(t.Context(), "t", "k")
			for _, err := range []error{audioErr, collect(t, test.client).err} {
				if !errors.Is(err, test.fault) || test.also != nil && !test.also(err) {
					t.Errorf("got %v, want it to be %v", err, test.fault)
					continue
				}
				if !strings.Contains(err.Error(), ": "+string(test.fault)) || !strings.Contains(err.Error(), "; "+advice[test.fault]) {
					t.Errorf("the error says %q", err)
				}
				noKey(t, err)
			}
		})
	}
}

// noKey looks for the key in the error and everything that it wraps.
func noKey(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, testKey) {
		t.Errorf("the key is in %s", text)
	}
	switch wrapped := err.(type) {
	case interface{ Unwrap() error }:
		noKey(t, wrapped.Unwrap())
	case interface{ Unwrap() []error }:
		for _, err := range wrapped.Unwrap() {
			noKey(t, err)
		}
	}
}

func TestDeadline(t *testing.T) {
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	_, err := c.Audio(ctx, "t", "k")
	var timeout net.Error
	if !errors.Is(err, TimedOut) || !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("got %v", err)
	}
}
