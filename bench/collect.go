package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	collected = 10_000 // recordings of some 60 KB
	abreast   = 16     // requests at a time, as callvault's for one tenant
)

// collects measures callvault collect, unpaced, beside curl --parallel over the
// same recordings of the same service. curl is told what to fetch, and neither
// checks, hashes, syncs nor writes down what it got.
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
	var ours, theirs, memory []float64
	for range b.rounds {
		syscall.Sync() // so that nobody pays for what others have left unwritten
		took, err := b.curl(ctx, l, service.url())
		if err != nil {
			return err
		}
		theirs = append(theirs, took)
		syscall.Sync()
		took, peak, err := b.collect(ctx, l, service.url())
		if err != nil {
			return err
		}
		ours, memory = append(ours, took), append(memory, peak)
	}
	table(fmt.Sprintf("collect %d recordings, %d at a time", collected, abreast),
		targetHeader,
		atLeast("recordings/s ÷ curl --parallel", ratios(theirs, ours), 0.85, ""),
		reference("recordings/s", ratios(repeat(collected, len(ours)), ours), ""),
		below("most memory resident", memory, 64, " MB"))
	return nil
}

// curl fetches all recordings with one curl, into a folder of its own.
func (b *bench) curl(ctx context.Context, l *loaded, service string) (seconds float64, err error) {
	dir, err := os.MkdirTemp(b.dir, "curl-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	var config strings.Builder
	fmt.Fprintf(&config, "header = \"Authorization: Bearer %s\"\n", l.key)
	for i := range l.recordings {
		r := &l.recordings[i]
		fmt.Fprintf(&config, "url = \"%s/rest/api/v2/recordings/%s/%s/audio\"\noutput = \"%s\"\n",
			service, url.PathEscape(r.TenantName), url.PathEscape(r.RecordingKey), filepath.Join(dir, r.RecordingKey+".opus"))
	}
	name := filepath.Join(dir, "config")
	if err := os.WriteFile(name, []byte(config.String()), 0o600); err != nil {
		return 0, err
	}
	return clock(exec.CommandContext(ctx, "curl", "--silent", "--fail", "--parallel", "--parallel-max", fmt.Sprint(abreast), "--config", name))
}

// collect collects all recordings into a data folder of its own; peak is the most
// memory that it had resident, in MB.
func (b *bench) collect(ctx context.Context, l *loaded, service string) (seconds, peak float64, err error) {
	dir, err := os.MkdirTemp(b.dir, "collect-")
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(dir)
	config := fmt.Sprintf("[[source]]\nname = \"bench\"\nurl = %q\nkey_env = \"BENCH_KEY\"\nsince = \"2026-01-05\"\nown_server = true\npace = \"0s\"\n", service)
	if err := os.WriteFile(filepath.Join(dir, "callvault.toml"), []byte(config), 0o600); err != nil {
		return 0, 0, err
	}
	command := exec.CommandContext(ctx, b.callvault, "collect", "--data", dir, "--until", "2026-01-13")
	command.Env = append(os.Environ(), "BENCH_KEY="+l.key)
	if seconds, err = clock(command); err != nil {
		return 0, 0, err
	}
	usage, _ := command.ProcessState.SysUsage().(*syscall.Rusage)
	return seconds, float64(usage.Maxrss) / 1000, nil
}
