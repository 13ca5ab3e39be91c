//go:build !linux

package delivery

import (
	"context"
	"net"
	"net/http"
)

// Socket is the ConnContext for an http.Server that uses Send. It does nothing here.
func Socket(ctx context.Context, _ net.Conn) context.Context { return ctx }

func cork(*http.Request) bool { return false }

func uncork(*http.Request) {}
