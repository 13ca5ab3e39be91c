package delivery_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"callvault/delivery"
)

// bounded records whether the headers are flushed before a deadline is set.
type bounded struct {
	http.ResponseWriter
	set, early, flushed bool
}

func (b *bounded) SetWriteDeadline(deadline time.Time) error {
	b.set = true
	return http.NewResponseController(b.ResponseWriter).SetWriteDeadline(deadline)
}

func (b *bounded) FlushError() error {
	b.flushed, b.early = true, b.early || !b.set
	return http.NewResponseController(b.ResponseWriter).Flush()
}

func (b *bounded) ReadFrom(src io.Reader) (int64, error) {
	return b.ResponseWriter.(io.ReaderFrom).ReadFrom(src)
}

// TestHeadersLeaveWithAudio: a client does not wake up for the headers alone.
func TestHeadersLeaveWithAudio(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux holds the headers until audio follows")
	}
	s := newShelf(t)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to := &bounded{ResponseWriter: w}
		_, _ = s.send(delivery.NewResponse(to, delivery.Patience{}), r, delivery.Delivery{Format: delivery.Opus})
		if !to.flushed || to.early {
			t.Errorf("the headers were sent %t, before their deadline was set %t", to.flushed, to.early)
		}
	}))
	server.Config.ConnContext = delivery.Socket
	server.Start()
	defer server.Close()
	client, err := net.Dial("tcp", server.Listener.Addr().String())
	must(t, err)
	defer client.Close()
	got := make([]byte, 64<<10)
	for range 300 { // the client is not always awake before the audio comes
		_, err = fmt.Fprintf(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		must(t, err)
		n, err := client.Read(got)
		must(t, err)
		headers := bytes.Index(got[:n], []byte("\r\n\r\n")) + 4
		if n == headers {
			t.Errorf("the headers, %d bytes, came alone", n)
		}
		for left := headers + len(s.clip) - n; left > 0; left -= n {
			n, err = client.Read(got)
			must(t, err)
		}
	}
}
