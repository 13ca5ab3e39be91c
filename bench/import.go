//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"callvault"
)

const (
	prompts    = "/usr/share/asterisk/sounds"
	longPrompt = 10_000 // milliseconds above which a file counts for the bit rate
)

// imports measures callvault import beside opusenc over the same recorded speech, each
// with as many workers as there are processors: callvault in one process; opusenc in one
// process per file, with xargs keeping that many running. Only callvault checks, hashes
// and syncs what it makes, and keeps a record of it.
func imports(ctx context.Context, b *bench) error {
	files, err := speech()
	if err != nil {
		return err
	}
	var ours, theirs []float64
	var last *loaded
	for round := range b.rounds {
		l, err := b.load(ctx, fmt.Sprintf("import-%d", round), func(*loading) error { return nil })
		if err != nil {
			return err
		}
		took, err := clock(exec.CommandContext(ctx, b.callvault, append([]string{"import", "--data", l.dir, "--tenant", tenantName(0)}, files...)...))
		if err != nil {
			return err
		}
		ours, last = append(ours, took), l
		if took, err = b.opusenc(ctx, round, files); err != nil {
			return err
		}
		theirs = append(theirs, took)
	}
	rate, long, all, err := b.bitrate(ctx, last)
	if err != nil {
		return err
	}
	table(fmt.Sprintf("import of %d recorded prompts, %d workers", len(files), runtime.NumCPU()),
		targetHeader,
		atLeast("files/s ÷ opusenc --bitrate 8 --speech", ratios(theirs, ours), 0.9, ""),
		reference("files/s", ratios(repeat(float64(len(files)), len(ours)), ours), ""),
		below(fmt.Sprintf("bit rate in all, %d files over 10 s", long), []float64{rate}, 12, " kbit/s"),
		reference("recordings kept, the same audio once", []float64{float64(all)}, ""))
	return nil
}

// speech returns the files of all English prompts.
func speech() (files []string, err error) {
	err = filepath.WalkDir(prompts, func(path string, entry fs.DirEntry, err error) error {
		language, _, _ := strings.Cut(strings.TrimPrefix(path, prompts+"/"), "/")
		if err == nil && !entry.IsDir() && strings.HasPrefix(language, "en") && strings.HasSuffix(path, ".wav") {
			files = append(files, path)
		}
		return err
	})
	if err == nil && len(files) == 0 {
		err = errors.New("no recorded prompts below " + prompts)
	}
	return files, err
}

// opusenc encodes the files into a folder.
func (b *bench) opusenc(ctx context.Context, round int, files []string) (seconds float64, err error) {
	to := filepath.Join(b.dir, fmt.Sprintf("opusenc-%d", round))
	if err := os.Mkdir(to, 0o700); err != nil {
		return 0, err
	}
	var pairs strings.Builder
	for i, file := range files {
		fmt.Fprintf(&pairs, "%s\x00%s\x00", file, filepath.Join(to, strconv.Itoa(i)+".opus"))
	}
	command := exec.CommandContext(ctx, "xargs", "-0", "-n", "2", "-P", strconv.Itoa(runtime.NumCPU()),
		"opusenc", "--quiet", "--bitrate", "8", "--speech")
	command.Stdin = strings.NewReader(pairs.String())
	return clock(command)
}

// clock runs a command and returns how long it took.
func clock(command *exec.Cmd) (seconds float64, err error) {
	began := time.Now()
	if output, err := command.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%s: %w: %s", command.Path, err, output)
	}
	return time.Since(began).Seconds(), nil
}

// bitrate returns the kbit/s of all imported recordings that are long, headers included,
// as the service lists them.
func (b *bench) bitrate(ctx context.Context, l *loaded) (rate float64, long, all int, err error) {
	service, err := b.serve(ctx, l)
	if err != nil {
		return 0, 0, 0, err
	}
	defer service.stop()
	var text strings.Builder
	address := service.url() + "/rest/api/v2/recordings?startTime=1980-01-01T00:00:00Z&endTime=2200-01-01T00:00:00Z"
	if _, err := fetch(ctx, address, l.key, &text); err != nil {
		return 0, 0, 0, err
	}
	var recordings []callvault.Recording
	if err := json.Unmarshal([]byte(text.String()), &recordings); err != nil {
		return 0, 0, 0, err
	}
	var bytes, ms int64
	for i := range recordings {
		if r := &recordings[i]; r.Duration > longPrompt {
			bytes, ms, long = bytes+r.Size, ms+r.Duration, long+1
		}
	}
	return float64(bytes*8) / float64(ms), long, len(recordings), nil
}

func repeat(value float64, times int) []float64 {
	values := make([]float64, times)
	for i := range values {
		values[i] = value
	}
	return values
}
