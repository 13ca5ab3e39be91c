package client

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"callvault"
)

const testKey = "cv_sesame-1234567890"

// TestMain fails if a test left a goroutine of the client or of net/http.
func TestMain(m *testing.M) {
	code := m.Run()
	left := ""
	for range 100 {
		if left = leftovers(); left == "" {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if left != "" && code == 0 {
		fmt.Fprintf(os.Stderr, "goroutines are left:\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

func leftovers() string {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	var left []string
	for _, stack := range strings.Split(string(stacks), "\n\n") {
		if strings.Contains(stack, "net/http.") || strings.Contains(stack, "callvault/client.") && !strings.Contains(stack, "TestMain") {
			left = append(left, stack)
		}
	}
	return strings.Join(left, "\n\n")
}

// newClient makes a client that closes its connections at the end of the test.
func newClient(t testing.TB, address string, options ...Option) *Client {
	t.Helper()
	c, err := New(address, testKey, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// serve answers every request with the handler, whatever its path.
func serve(t testing.TB, handler http.HandlerFunc) (*Client, *httptest.Server) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return newClient(t, server.URL), server
}

// serveText answers every request with status 200 and the text.
func serveText(t testing.TB, contentType, text string) *Client {
	t.Helper()
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Write([]byte(text))
	})
	return c
}

// serveRaw passes each request with its connection to answer, which writes what it likes; the
// connection is closed afterwards.
func serveRaw(t testing.TB, answer func(conn net.Conn, r *http.Request)) *Client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				r, err := http.ReadRequest(bufio.NewReader(conn))
				if err == nil {
					answer(conn, r)
				}
			}()
		}
	}()
	return newClient(t, "http://"+listener.Addr().String())
}

var anyDay = callvault.Span{From: 1707696000000, To: 1707782400000}

const good = `{"recordingKey":"91a1e1e8-08p8-427b-bd04-da43c2a1db7d-1707770449131","callKey":"1dd0gg18-9c63-41de-a386-4f21ba0086f2-1707770438499-1707770497510","startTime":1707770449131,"duration":3606,"size":9111,"eventId":99181,"recordingSystemId":0,"status":"SAVED","callingParty":"18885553794","receivingParty":"Spencer Porter(253)","tenantName":"acme-ns","tagData":"Default","callDirection":"INBOUND","skill":"CC Sales","agent":"Spencer Porter(253)"}`

// listed is all that a list yields.
type listed struct {
	keys      []string
	items     []Item
	malformed []*MalformedItem
	err       error
}

func collect(t testing.TB, c *Client) listed {
	t.Helper()
	var all listed
	for item, err := range c.Recordings(t.Context(), anyDay) {
		if all.err != nil {
			t.Fatalf("the list went on behind %v", all.err)
		}
		if m, ok := MalformedOf(err); ok {
			all.malformed = append(all.malformed, m)
			continue
		}
		if all.err = err; err != nil {
			continue
		}
		all.keys = append(all.keys, item.RecordingKey)
		all.items = append(all.items, item)
	}
	return all
}

// recordings returns n good recordings with the keys r0, r1 and so on.
func recordings(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`{"recordingKey":"r%d","callKey":"c","startTime":%d,"tenantName":"acme-ns","status":"SAVED"}`, i, 1707770449131+i)
	}
	return list
}
