//go:build !linux

package delivery

import (
	"context"
	"net"
	"net/http"
)

// Socket is the ConnContext of an http.Server; there is nothing to know here.
func Socket(ctx context.Context, _ net.Conn) context.Context { return ctx }

func hold(*http.Request) bool { return false }

func release(*http.Request) {}
