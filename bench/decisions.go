//go:build linux

package main

import (
	"context"
	"os"
	"os/exec"
)

// decisions measures what each request is decided by, without HTTP: the limits
// in memory, and who asks, held against the database each time.
func decisions(ctx context.Context, _ *bench) error {
	table("decisions: go test -bench, nanoseconds each")
	command := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^Benchmark(Admit|AdmitRefused|ReserveSettle|Authenticate)$",
		"-benchmem", "./meter", "./account")
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	return command.Run()
}

// pacing measures what it takes to let 10,000 tenants wait for their turns.
func pacing(ctx context.Context, _ *bench) error {
	table("pacing 10,000 tenants: go test -bench, target ≤ 6 % of a core")
	command := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkPacing$", "-benchtime", "20x", "./collect")
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	return command.Run()
}
