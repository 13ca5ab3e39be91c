//go:build linux

package main

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

//go:embed wrk.lua
var wrkScript []byte

// connections is the number of clients at once, each on a connection that it keeps.
const connections = 256

// target is a server and the requests that clients send it, one after the other.
type target struct {
	*process
	requests string // a file with a path and a range on each line
	key      string
	clients  int
}

// ask is one request.
type ask struct {
	path  string
	size  int64
	bytes int64 // the length of a range somewhere in it; 0 asks for the whole
}

// newTarget writes the requests for a server into a file.
func (b *bench) newTarget(p *process, name, key string, asks []ask) (*target, error) {
	var text strings.Builder
	random := rand.New(rand.NewPCG(1, 1))
	for _, a := range asks {
		text.WriteString(a.path)
		if a.bytes > 0 {
			from := random.Int64N(a.size - a.bytes)
			fmt.Fprintf(&text, " bytes=%d-%d", from, from+a.bytes-1)
		}
		text.WriteByte('\n')
	}
	t := &target{process: p, requests: filepath.Join(b.dir, p.name+"-"+name+".requests"), key: key, clients: connections}
	return t, os.WriteFile(t.requests, []byte(text.String()), 0o600)
}

// load is the result of one measurement under load.
type load struct {
	perSecond float64 // requests per second
	cpu       float64 // microseconds of processor time per request
}

// measure puts a server under load. It returns an error if any request fails or if the
// answers are shorter than minBytes on average.
func (b *bench) measure(ctx context.Context, t *target, length time.Duration, minBytes int64) (load, error) {
	script := filepath.Join(b.dir, "wrk.lua")
	if err := os.WriteFile(script, wrkScript, 0o600); err != nil {
		return load{}, err
	}
	before, err := t.cpu()
	if err != nil {
		return load{}, err
	}
	threads := min(runtime.NumCPU(), t.clients)
	command := exec.CommandContext(ctx, "wrk", "-t", strconv.Itoa(threads), "-c", strconv.Itoa(t.clients), "--timeout", "30s",
		"-d", fmt.Sprintf("%ds", int(length.Seconds())), "-s", script, t.url(), "--", t.requests, t.key)
	output, err := command.CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("wrk: %w: %s", err, output)
	}
	after, err := t.cpu()
	if err != nil {
		return load{}, err
	}
	_, result, _ := bytes.Cut(output, []byte("RESULT "))
	var requests, received, micros, failed int64
	if _, err := fmt.Sscan(string(result), &requests, &received, &micros, &failed); err != nil {
		return load{}, fmt.Errorf("wrk: %w: %s", err, output)
	}
	if failed > 0 || requests == 0 || received < requests*minBytes {
		return load{}, fmt.Errorf("%s: %d requests, %d bytes, %d errors", t.name, requests, received, failed)
	}
	return load{float64(requests) / float64(micros) * 1e6, float64((after - before).Microseconds()) / float64(requests)}, nil
}
