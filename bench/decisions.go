//go:build linux

package main

import (
	"context"
	"os"
	"os/exec"
)

// decisions measures the decisions taken for each request, without HTTP: checking the
// limits in memory, and authenticating against the database.
func decisions(ctx context.Context, _ *bench) error {
	table("decisions: go test -bench, nanoseconds each")
	command := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^Benchmark(Admit|AdmitRefused|ReserveSettle|Authenticate)$",
		"-benchmem", "./meter", "./account")
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	return command.Run()
}

// pacing measures what it costs to pace 10,000 tenants.
func pacing(ctx context.Context, _ *bench) error {
	table("pacing 10,000 tenants: go test -bench, target ≤ 6 % of a core")
	command := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkPacing$", "-benchtime", "20x", "./collect")
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	return command.Run()
}
