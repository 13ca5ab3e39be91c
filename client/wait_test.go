package client

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// pipeClient makes a client whose connections lead to answer without a network, for tests in
// which time is not real.
func pipeClient(t *testing.T, answer func(conn net.Conn), options ...Option) *Client {
	dial := func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			if _, err := http.ReadRequest(bufio.NewReader(theirs)); err == nil {
				answer(theirs)
			}
		}()
		return ours, nil
	}
	transport := &http.Transport{DialContext: dial, DisableKeepAlives: true}
	c, err := New("http://source.example", testKey, append(options, WithTransport(transport))...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const okChunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

// hang waits until the other side hangs up.
func hang(conn net.Conn) { io.Copy(io.Discard, conn) }

func TestStalls(t *testing.T) {
	for name, answer := range map[string]func(net.Conn){
		"before the header": hang,
		"in the header":     func(conn net.Conn) { io.WriteString(conn, "HTTP/1.1 200 OK\r\n"); hang(conn) },
		"before the body":   func(conn net.Conn) { io.WriteString(conn, okChunked); hang(conn) },
		"in the body":       func(conn net.Conn) { io.WriteString(conn, okChunked+"2\r\n[{\r\n"); hang(conn) },
	} {
		for idle, options := range map[time.Duration][]Option{
			time.Minute: nil, time.Second: {WithIdleTimeout(time.Second)},
		} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					begun := time.Now()
					err := collect(t, pipeClient(t, answer, options...)).err
					checkStall(t, err, time.Since(begun), idle)
					begun = time.Now()
					audio, err := pipeClient(t, answer, options...).Audio(t.Context(), "t", "k")
					if err == nil {
						_, err = io.ReadAll(audio.Body)
						audio.Body.Close()
					}
					checkStall(t, err, time.Since(begun), idle)
				})
			})
		}
	}
}

func checkStall(t *testing.T, err error, took, idle time.Duration) {
	t.Helper()
	var timeout net.Error
	if !errors.Is(err, TimedOut) || !errors.As(err, &timeout) || !timeout.Timeout() || errors.Is(err, Cut) {
		t.Errorf("got %v", err)
	}
	if took != idle {
		t.Errorf("gave up after %v, want %v", took, idle)
	}
}

// TestSlow: a body that drips is read to its end, however long that takes, and the caller may
// be slow too.
func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := pipeClient(t, func(conn net.Conn) {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
			for range 100 {
				time.Sleep(59 * time.Second)
				io.WriteString(conn, "x")
			}
		})
		audio, err := c.Audio(t.Context(), "t", "k")
		if err != nil {
			t.Fatal(err)
		}
		defer audio.Body.Close()
		n := 0
		for b := make([]byte, 1); err == nil; n++ {
			time.Sleep(time.Hour)
			_, err = io.ReadFull(audio.Body, b)
		}
		if err != io.EOF || n != 101 {
			t.Errorf("%d bytes, then %v", n, err)
		}
	})
}

func TestForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 48*time.Hour)
		defer cancel()
		begun := time.Now()
		_, err := pipeClient(t, hang, WithIdleTimeout(0)).Audio(ctx, "t", "k")
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 48*time.Hour {
			t.Errorf("got %v after %v", err, time.Since(begun))
		}
	})
}

// TestDrippingRefusal: an error body is read as evidence, but holds nobody up.
func TestDrippingRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		_, err := pipeClient(t, func(conn net.Conn) {
			io.WriteString(conn, "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 60\r\nContent-Length: 1000\r\n\r\n")
			for range 1000 {
				time.Sleep(3 * time.Second)
				if _, err := io.WriteString(conn, "x"); err != nil {
					return
				}
			}
		}).Audio(t.Context(), "t", "k")
		refusal, ok := RefusalOf(err)
		if !ok || refusal.Status != 503 || string(refusal.Body) != "xxx" || time.Since(begun) != evidenceFor {
			t.Errorf("got %v with %q after %v", err, refusal.Body, time.Since(begun))
		}
		time.Sleep(time.Minute) // for the server to see that we hung up
	})
}

// TestCloseStalled: closing a body that does not come does not wait for it.
func TestCloseStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		audio, err := pipeClient(t, func(conn net.Conn) {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
			hang(conn)
		}).Audio(t.Context(), "t", "k")
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		audio.Body.Close()
		if took := time.Since(begun); took > drainFor {
			t.Errorf("took %v", took)
		}
	})
}
