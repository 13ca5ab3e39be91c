//go:build !linux

package server

import "syscall"

// boundUnsent leaves a socket as it is.
func boundUnsent(string, string, syscall.RawConn) error { return nil }
