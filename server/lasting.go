package server

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// lasting lets connections that stand between two requests end in order. Were they
// closed at once as a server stops, a request that is just then on its way, as from a
// balancer that keeps connections, would be lost; and one that takes something in is not
// sent again.
type lasting struct {
	http.Handler
	open   atomic.Int64 // connections
	ending atomic.Bool

	mu        sync.Mutex
	listeners []net.Listener
}

// ServeHTTP answers. While the server ends an answer is the last of its connection.
func (l *lasting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if l.ending.Load() {
		w.Header().Set("Connection", "close")
	}
	l.Handler.ServeHTTP(w, r)
}

// count counts connections; it is http.Server's ConnState.
func (l *lasting) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		l.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		l.open.Add(-1)
	}
}

// listen remembers a listener; it is http.Server's BaseContext.
func (l *lasting) listen(listener net.Listener) context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listeners = append(l.listeners, listener)
	return context.Background()
}

// lastTime is how long a server that ends answers on; no longer than connections are
// there.
const lastTime = time.Second

// end takes no more connections, which are refused and can be made elsewhere, and lets
// each that is there have a last answer.
func (l *lasting) end() {
	l.mu.Lock()
	for _, listener := range l.listeners {
		_ = listener.Close() // Shutdown does so again, and tells
	}
	l.mu.Unlock()
	l.ending.Store(true)
	for began := time.Now(); l.open.Load() > 0 && time.Since(began) < lastTime; {
		time.Sleep(lastTime / 50)
	}
}
