//go:build !unix

package databasetest

import (
	"syscall"
	"testing"
)

func asUser() *syscall.SysProcAttr { return nil }

func own(string) error { return nil }

// Freeze skips the test: this system cannot freeze processes.
func (s *Server) Freeze(t testing.TB) { t.Skip("processes cannot be stopped and go on here") }

// Thaw does nothing: nothing is frozen.
func (s *Server) Thaw(testing.TB) {}
