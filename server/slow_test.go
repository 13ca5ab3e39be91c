package server_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"callvault/server"
)

// pipes is a net.Listener whose connections belong to a synctest bubble, so that their
// deadlines follow its clock.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// serveOnPipes starts the service, and returns its server and a function that connects
// to it.
func (w *world) serveOnPipes(t *testing.T) (h *http.Server, dial func() net.Conn) {
	p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	h = server.HTTP(w.server, slog.New(slog.DiscardHandler))
	go h.Serve(p)
	t.Cleanup(func() { h.Close() })
	return h, func() net.Conn {
		client, service := net.Pipe()
		t.Cleanup(func() { client.Close() })
		p.conns <- service
		return client
	}
}

// dial starts the service on pipes, and returns a function that connects to it.
func (w *world) dial(t *testing.T) func() net.Conn {
	_, dial := w.serveOnPipes(t)
	return dial
}

func (w *world) ask(conn net.Conn, method, path string, header ...string) {
	w.t.Helper()
	lines := append(header, "Host: x", "Authorization: Bearer "+w.keys["robot"])
	_, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\n%s\r\n\r\n", method, path, strings.Join(lines, "\r\n"))
	must(w.t, err)
}

// TestStalledReadersAreDropped begins to read a list and audio, and then stops reading.
func TestStalledReadersAreDropped(t *testing.T) {
	for _, path := range []string{list, audioPath("acme-ns", "a"), audioPath("acme-ns", "a") + "?format=wav"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.fill(2000)
			conn := w.dial(t)()
			began := time.Now()
			w.ask(conn, "GET", path)
			_, err := io.ReadFull(conn, make([]byte, 600))
			must(t, err)
			synctest.Wait()
			time.Sleep(29 * time.Second)
			if strings.Contains(w.log.String(), `"status":200`) {
				t.Errorf("%s: dropped before half a minute", path)
			}
			time.Sleep(3 * time.Second)
			synctest.Wait()
			if !strings.Contains(w.log.String(), `"status":200`) {
				t.Errorf("%s: not dropped after %v", path, time.Since(began))
			}
			rest, err := io.ReadAll(conn)
			if err == nil && len(rest) > 1<<20 {
				t.Errorf("%s: %d more bytes came", path, len(rest))
			}
			if used := w.used("acme-ns"); used >= int64(len(clips()[0])) && !strings.Contains(path, "wav") {
				t.Errorf("%s: charged %d bytes", path, used)
			}
		})
	}
}

// TestSlowReadersAreServed reads audio at a telephone modem's pace for minutes.
func TestSlowReadersAreServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.keep(recording("a", 0))
		conn := w.dial(t)()
		w.ask(conn, "GET", audioPath("acme-ns", "a")+"?format=wav", "Connection: close")
		total := 0
		for piece := make([]byte, 5<<10); ; time.Sleep(time.Second) {
			n, err := io.ReadFull(conn, piece)
			if total += n; err != nil {
				break
			}
		}
		if total < 500_000 {
			t.Errorf("cut off after %d bytes", total)
		}
	})
}

func TestTricklingReadersAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.keep(recording("a", 0))
		conn := w.dial(t)()
		w.ask(conn, "GET", audioPath("acme-ns", "a")+"?format=wav")
		began, total := time.Now(), 0
		for piece := make([]byte, 2500); ; time.Sleep(time.Second) {
			n, err := io.ReadFull(conn, piece)
			if total += n; err != nil {
				break
			}
		}
		if took := time.Since(began); took < time.Minute || took > 4*time.Minute || total > 500_000 {
			t.Errorf("dropped after %v and %d bytes", took, total)
		}
	})
}

// TestSlowSenders stalls within the headers and within an upload.
func TestSlowSenders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		dial := w.dial(t)
		conn := dial()
		began := time.Now()
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n", list)
		_, _ = io.ReadAll(conn)
		if took := time.Since(began); took > 11*time.Second {
			t.Errorf("half a header was waited for for %v", took)
		}
		conn, began = dial(), time.Now()
		w.ask(conn, "POST", uploadPath, "Content-Type: multipart/form-data; boundary=x", "Content-Length: 1000")
		_, err := io.WriteString(conn, "--x\r\n")
		must(t, err)
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if took := time.Since(began); took > 31*time.Second {
			t.Errorf("half an upload was waited for for %v", took)
		}
		if err == nil && answer.StatusCode < 400 {
			t.Errorf("half an upload: %d", answer.StatusCode)
		}
		conn, began = dial(), time.Now()
		_, _ = io.ReadAll(conn)
		if took := time.Since(began); took > 3*time.Minute {
			t.Errorf("an idle connection was kept for %v", took)
		}
	})
}

// TestBodiesThatNobodyReads sends only the first bytes of bodies, with requests that are
// refused or answered without reading the body.
func TestBodiesThatNobodyReads(t *testing.T) {
	const form = "Content-Type: multipart/form-data; boundary=x"
	for _, c := range []struct {
		name, method, path string
		header             []string
		body               string
		status             int
	}{
		{"405", "POST", list, []string{form, "Content-Length: 1000"}, "--x", 405},
		{"403", "POST", api + "recordings/gamma", []string{form, "Content-Length: 200000"}, "--x", 403},
		{"415", "POST", uploadPath, []string{"Content-Type: audio/ogg", "Content-Length: 1000"}, "OggS", 415},
		{"no boundary", "POST", uploadPath, []string{"Content-Type: multipart/form-data", "Transfer-Encoding: chunked"}, "5\r\n--x\r\n", 400},
		{"an unknown part", "POST", uploadPath, []string{form, "Content-Length: 200000"},
			"--x\r\nContent-Disposition: form-data; name=other\r\n\r\n", 400},
		{"GET", "GET", list, []string{"Content-Length: 1000"}, "x", 200},
		{"healthz", "GET", "/healthz", []string{"Transfer-Encoding: chunked"}, "5\r\nxx", 200},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			conn := w.dial(t)()
			began := time.Now()
			w.ask(conn, c.method, c.path, c.header...)
			go io.WriteString(conn, c.body) // the response may come before it is read
			from := bufio.NewReader(conn)
			answer, err := http.ReadResponse(from, nil)
			if err != nil || answer.StatusCode != c.status || !answer.Close || time.Since(began) > time.Second {
				t.Errorf("%s: %v %v after %v", c.name, answer, err, time.Since(began))
				return
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			_, _ = io.Copy(io.Discard, from)
			if took := time.Since(began); took > 31*time.Second {
				t.Errorf("%s: the rest was waited for for %v", c.name, took)
			}
		})
	}
}

// TestSlowUploadIsAnswered sends an upload as slowly as allowed, and so for longer than
// a client may take to read its response.
func TestSlowUploadIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		conn := w.dial(t)()
		about := jsonPart("recording", recording("a", 0))
		about.content = append(about.content, bytes.Repeat([]byte(" "), 500_000)...)
		body, contentType := multipartBody(about, part{"audio", clips()[0]})
		w.ask(conn, "POST", uploadPath, "Content-Type: "+contentType, fmt.Sprint("Content-Length: ", len(body)))
		for piece := range slices.Chunk(body, len(body)/5) {
			time.Sleep(20 * time.Second)
			_, err := conn.Write(piece)
			must(t, err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || answer.StatusCode != 201 {
			t.Fatalf("%v %v", answer, err)
		}
	})
}

// TestConnectionIsUsedAgain makes a request on a connection that was idle for longer than
// a reader may stall: the old deadline must not apply to a response without a body.
func TestConnectionIsUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.keep(recording("a", 0))
		conn := w.dial(t)()
		from := bufio.NewReader(conn)
		for i, c := range []struct {
			method, path, header string
			status               int
		}{
			{"GET", audioPath("acme-ns", "a"), "X: y", 200},
			{"HEAD", audioPath("acme-ns", "a"), "X: y", 200},
			{"GET", audioPath("acme-ns", "a"), "If-None-Match: *", 304},
			{"HEAD", list, "X: y", 200},
			{"HEAD", "/nothing", "X: y", 404},
			{"GET", list, "X: y", 200},
		} {
			w.ask(conn, c.method, c.path, c.header)
			answer, err := http.ReadResponse(from, &http.Request{Method: c.method})
			if err != nil || answer.StatusCode != c.status {
				t.Fatalf("request %d: %v %v", i, answer, err)
			}
			_, err = io.Copy(io.Discard, answer.Body)
			must(t, err)
			time.Sleep(100 * time.Second)
		}
	})
}

// TestIdleConnectionsCostNothing opens a thousand connections, and makes a request on
// half of them.
func TestIdleConnectionsCostNothing(t *testing.T) {
	w := newWorld(t)
	w.keep(recording("a", 0))
	var before, after runtime.MemStats
	w.get(list)
	runtime.GC()
	runtime.ReadMemStats(&before)
	goroutines := runtime.NumGoroutine()
	var conns []net.Conn
	for i := range 1000 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.url(), "http://"))
		must(t, err)
		defer conn.Close()
		conns = append(conns, conn)
		if i%2 == 0 {
			w.ask(conn, "GET", "/healthz")
		}
	}
	for i := 0; i < len(conns); i += 2 {
		_, err := http.ReadResponse(bufio.NewReader(conns[i]), nil)
		must(t, err)
	}
	began := time.Now()
	// An idle connection is kept for two minutes: nobody waits for the end of one.
	if got := w.get(audioPath("acme-ns", "a")); got.StatusCode != 200 || time.Since(began) > time.Minute {
		t.Errorf("beside them: %d in %v", got.StatusCode, time.Since(began))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if more := runtime.NumGoroutine() - goroutines; more > 2100 {
		t.Errorf("%d goroutines for 1000 connections", more)
	}
	if more := int64(after.HeapAlloc+after.StackInuse) - int64(before.HeapAlloc+before.StackInuse); more > 40<<20 {
		t.Errorf("%d MB for 1000 connections", more>>20)
	}
}

// TestStopLosesNoRequest: a request on a connection that was idle when the server began
// to stop is answered, and is the last one on it.
func TestStopLosesNoRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.keep(recording("a", 0))
		h, dial := w.serveOnPipes(t)
		client := dial()
		answers := bufio.NewReader(client)
		ask := func() *http.Response {
			w.ask(client, "GET", audioPath("acme-ns", "a"))
			answer, err := http.ReadResponse(answers, nil)
			must(t, err)
			body, err := io.ReadAll(answer.Body)
			if err != nil || len(body) != len(clips()[0]) {
				t.Errorf("%d bytes, %v", len(body), err)
			}
			return answer
		}
		if answer := ask(); answer.Close {
			t.Error("the connection ends with its first answer")
		}
		stopped := make(chan error)
		go func() { stopped <- server.Stop(h) }()
		synctest.Wait()
		if answer := ask(); !answer.Close {
			t.Error("the connection outlives the stop")
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

// TestStopFinishesWhatIsBeingSent stops the service under a slow download.
func TestStopFinishesWhatIsBeingSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.keep(recording("a", 0))
		h, dial := w.serveOnPipes(t)
		client := dial()
		w.ask(client, "GET", audioPath("acme-ns", "a"))
		answer, err := http.ReadResponse(bufio.NewReader(client), nil)
		must(t, err)
		stopped := make(chan error)
		go func() { stopped <- server.Stop(h) }()
		time.Sleep(20 * time.Second)
		body, err := io.ReadAll(answer.Body)
		if err != nil || len(body) != len(clips()[0]) {
			t.Errorf("%d bytes, %v", len(body), err)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
	// A client that stops reading is cut off.
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.keep(recording("a", 0))
		h, dial := w.serveOnPipes(t)
		client := dial()
		ctx, cancel := context.WithCancel(context.Background())
		go func() { // reads a little now and then, so that it is not dropped earlier
			for piece := make([]byte, 100); ctx.Err() == nil; time.Sleep(5 * time.Second) {
				_, _ = client.Read(piece)
			}
		}()
		w.ask(client, "GET", audioPath("acme-ns", "a"))
		synctest.Wait()
		began := time.Now()
		must(t, server.Stop(h))
		if took := time.Since(began); took < server.StopTime || took > server.StopTime+time.Second {
			t.Errorf("stopped after %v", took)
		}
		cancel()
		time.Sleep(time.Minute)
	})
}
