package server

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// gracefulHandler lets idle connections end in order when a server stops. If they were
// closed at once, a request already on its way, such as from a load balancer that reuses
// connections, would be lost, and clients do not repeat uploads by themselves.
type gracefulHandler struct {
	http.Handler
	open     atomic.Int64 // connections
	draining atomic.Bool

	mu        sync.Mutex
	listeners []net.Listener
}

// ServeHTTP answers a request. While the server drains, each response is the last on its
// connection.
func (g *gracefulHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if g.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	g.Handler.ServeHTTP(w, r)
}

// count counts open connections; it is the http.Server's ConnState.
func (g *gracefulHandler) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		g.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		g.open.Add(-1)
	}
}

// listen remembers a listener; it is the http.Server's BaseContext.
func (g *gracefulHandler) listen(listener net.Listener) context.Context {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.listeners = append(g.listeners, listener)
	return context.Background()
}

// drainTime is the longest that a stopping server goes on answering requests on its open
// connections.
const drainTime = time.Second

// drain closes the listeners, so that clients connect elsewhere, and gives each open
// connection the chance of a last response.
func (g *gracefulHandler) drain() {
	g.mu.Lock()
	for _, listener := range g.listeners {
		_ = listener.Close() // Shutdown closes it again, and returns the error
	}
	g.mu.Unlock()
	g.draining.Store(true)
	for began := time.Now(); g.open.Load() > 0 && time.Since(began) < drainTime; {
		time.Sleep(drainTime / 50)
	}
}
