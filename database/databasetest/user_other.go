//go:build !unix

package databasetest

import (
	"syscall"
	"testing"
)

func asUser() *syscall.SysProcAttr { return nil }

func own(string) error { return nil }

// Freeze is not to be had on this system.
func (s *Server) Freeze(t testing.TB) { t.Skip("processes cannot be stopped and go on here") }

// Thaw is not to be had on this system.
func (s *Server) Thaw(testing.TB) {}
