//go:build linux

package main

import (
	"context"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	collected = 10_000 // recordings of 97 KB on average
	parallel  = 16     // requests at a time, as callvault makes for one tenant

	fetchRounds = 3 // at most; each fetches 2 GB
)

// fetching is the result of fetching all recordings once.
type fetching struct {
	rate    float64 // recordings/s
	cpu     float64 // µs of processor time per recording, of the client
	service float64 // the same, of the service
	peak    float64 // the most memory that the client had resident, in MB
}

// fetcher returns the command that fetches all recordings into a folder.
type fetcher func(ctx context.Context, l *loaded, service, dir string) (*exec.Cmd, error)

// collects measures callvault collect, unpaced, beside curl --parallel over the
// same recordings of the same service. curl is told what to fetch, and neither checks,
// hashes and syncs what it gets nor keeps a record of it.
func collects(ctx context.Context, b *bench) error {
	l, err := b.load(ctx, "source", func(l *loading) error { return l.withAudio(collected) })
	if err != nil {
		return err
	}
	service, err := b.serve(ctx, l)
	if err != nil {
		return err
	}
	defer service.stop()
	ways := []fetcher{curl, b.collect}
	got := make([][]fetching, len(ways))
	for range min(b.rounds, fetchRounds) {
		for i, way := range ways {
			one, err := b.fetchAll(ctx, l, service, way)
			if err != nil {
				return err
			}
			got[i] = append(got[i], one)
		}
	}
	printFetchings(got[1], got[0])
	return nil
}

func printFetchings(ours, curls []fetching) {
	each := func(of []fetching, figure func(*fetching) float64) (list []float64) {
		for i := range of {
			list = append(list, figure(&of[i]))
		}
		return list
	}
	rate := func(f *fetching) float64 { return f.rate }
	cpu := func(f *fetching) float64 { return f.cpu }
	service := func(f *fetching) float64 { return f.service }
	peak := func(f *fetching) float64 { return f.peak }
	table(fmt.Sprintf("collect %d recordings, %d at a time", collected, parallel),
		targetHeader,
		atLeast("recordings/s ÷ curl --parallel", ratios(each(ours, rate), each(curls, rate)), 0.85, ""),
		below("most memory resident", each(ours, peak), 64, " MB"),
		reference("recordings/s", each(ours, rate), ""),
		reference("  of curl", each(curls, rate), ""),
		reference("CPU µs/recording", each(ours, cpu), ""),
		reference("  of curl", each(curls, cpu), ""),
		reference("  of the service", each(ours, service), ""),
		reference("  of the service for curl", each(curls, service), ""))
}

// fetchAll fetches all recordings into a folder and checks that all are in it. They stay
// until the benchmarks end: ext4 is slow to create files where many were just removed.
func (b *bench) fetchAll(ctx context.Context, l *loaded, service *process, way fetcher) (f fetching, err error) {
	dir, err := os.MkdirTemp(b.dir, "fetched-")
	if err != nil {
		return f, err
	}
	command, err := way(ctx, l, service.url(), dir)
	if err != nil {
		return f, err
	}
	before, err := service.cpu()
	if err != nil {
		return f, err
	}
	syscall.Sync() // so that nobody pays for data that others have left unwritten
	seconds, err := clock(command)
	if err != nil {
		return f, err
	}
	after, err := service.cpu()
	if err != nil {
		return f, err
	}
	if n, err := countAudio(dir); err != nil || n != collected {
		return f, fmt.Errorf("%s fetched %d recordings of %d: %w", filepath.Base(command.Path), n, collected, err)
	}
	each := func(cpu time.Duration) float64 { return float64(cpu.Microseconds()) / collected }
	usage, _ := command.ProcessState.SysUsage().(*syscall.Rusage)
	return fetching{
		rate: collected / seconds,
		cpu:  each(command.ProcessState.UserTime() + command.ProcessState.SystemTime()), service: each(after - before),
		peak: float64(usage.Maxrss) / 1000,
	}, nil
}

// countAudio counts the recordings below a folder.
func countAudio(dir string) (n int, err error) {
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".opus" {
			n++
		}
		return err
	})
	return n, err
}

// curl returns the command of one curl that fetches all recordings.
func curl(ctx context.Context, l *loaded, service, dir string) (*exec.Cmd, error) {
	var config strings.Builder
	fmt.Fprintf(&config, "header = \"Authorization: Bearer %s\"\n", l.key)
	for i := range l.recordings {
		r := &l.recordings[i]
		fmt.Fprintf(&config, "url = \"%s/rest/api/v2/recordings/%s/%s/audio\"\noutput = \"%s\"\n",
			service, url.PathEscape(r.TenantName), url.PathEscape(r.RecordingKey), filepath.Join(dir, r.RecordingKey+".opus"))
	}
	name := filepath.Join(dir, "config")
	return exec.CommandContext(ctx, "curl", "--silent", "--fail", "--parallel", "--parallel-max", fmt.Sprint(parallel), "--config", name),
		os.WriteFile(name, []byte(config.String()), 0o600)
}

// collect returns the command of a collector that fetches all recordings.
func (b *bench) collect(ctx context.Context, l *loaded, service, dir string) (*exec.Cmd, error) {
	config := fmt.Sprintf("[[source]]\nname = \"bench\"\nurl = %q\nkey_env = \"BENCH_KEY\"\nsince = \"2026-01-05\"\nown_server = true\npace = \"0s\"\n", service)
	command := exec.CommandContext(ctx, b.callvault, "collect", "--data", dir, "--until", "2026-01-13")
	command.Env = append(os.Environ(), "BENCH_KEY="+l.key)
	return command, os.WriteFile(filepath.Join(dir, "callvault.toml"), []byte(config), 0o600)
}
