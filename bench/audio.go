//go:build linux

package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"callvault"
)

const (
	workingSet = 2_000  // recordings requested
	leastBytes = 20_000 // of a whole recording, on average
	rangeBytes = 16 << 10
)

// audio measures GET audio, of whole recordings and of ranges, from a service with
// everything switched on, beside servers that only send the same files.
func audio(ctx context.Context, b *bench) error {
	l, err := b.load(ctx, "audio", func(l *loading) error { return l.withAudio(workingSet) })
	if err != nil {
		return err
	}
	folder := filepath.Join(l.dir, "audio")
	var servers []*process
	defer func() {
		for _, p := range servers {
			p.stop()
		}
	}()
	for _, start := range []func() (*process, error){
		func() (*process, error) { return b.nginx(ctx, folder) },
		func() (*process, error) { return b.serve(ctx, l) },
		func() (*process, error) { return b.bare(ctx, folder) },
		func() (*process, error) { return b.caddy(ctx, folder) },
	} {
		p, err := start()
		if err != nil {
			return err
		}
		servers = append(servers, p)
	}
	if err := b.compare(ctx, l, servers, 0); err != nil {
		return err
	}
	return b.compare(ctx, l, servers, rangeBytes)
}

// compare measures the servers in turn and prints how they compare.
func (b *bench) compare(ctx context.Context, l *loaded, servers []*process, part int64) error {
	files, err := audioFiles(l)
	if err != nil {
		return err
	}
	least := int64(leastBytes)
	if part > 0 {
		least = part
	}
	loads := make([][]load, len(servers))
	for round := range b.rounds + 1 {
		for i, p := range servers {
			t, err := b.newTarget(p, "audio", l.key, asksOf(p, l.recordings, files, part))
			if err != nil {
				return err
			}
			length := b.length
			if round == 0 {
				length = time.Second // a warm-up, which is not counted
			}
			got, err := b.measure(ctx, t, length, least)
			if err != nil {
				return err
			}
			if round > 0 {
				loads[i] = append(loads[i], got)
			}
		}
	}
	printLoads(part, servers, loads)
	return nil
}

// asksOf returns the requests for the recordings to a server: to callvault through the
// API, to the others by file name.
func asksOf(p *process, recordings []callvault.Recording, files map[string]string, part int64) []ask {
	asks := make([]ask, 0, len(recordings))
	for i := range recordings {
		r := &recordings[i]
		path := "/" + files[r.RecordingKey]
		if p.name == "callvault" {
			path = "/rest/api/v2/recordings/" + r.TenantName + "/" + r.RecordingKey + "/audio"
		}
		asks = append(asks, ask{path, r.Size, part})
	}
	return asks
}

// audioFiles returns the file of each recording by its key, relative to the audio folder.
func audioFiles(l *loaded) (map[string]string, error) {
	files := map[string]string{}
	err := fs.WalkDir(os.DirFS(filepath.Join(l.dir, "audio")), ".", func(path string, entry fs.DirEntry, err error) error {
		if key, ok := strings.CutSuffix(entry.Name(), ".opus"); ok {
			files[key] = path
		}
		return err
	})
	return files, err
}

// printLoads prints the results. The targets are for whole recordings.
func printLoads(part int64, servers []*process, loads [][]load) {
	perSecond, cpu := map[string][]float64{}, map[string][]float64{}
	rows := [][]string{{"server", "requests/s", "÷ nginx", "CPU µs/request", "÷ nginx"}}
	for i, p := range servers {
		for _, one := range loads[i] {
			perSecond[p.name] = append(perSecond[p.name], one.perSecond)
			cpu[p.name] = append(cpu[p.name], one.cpu)
		}
		rows = append(rows, []string{
			p.name, show(median(perSecond[p.name])), show(median(ratios(perSecond[p.name], perSecond["nginx"]))),
			show(median(cpu[p.name])), show(median(ratios(cpu[p.name], cpu["nginx"]))),
		})
	}
	ours := perSecond["callvault"]
	toNginx, toCaddy := ratios(ours, perSecond["nginx"]), ratios(ours, perSecond["caddy"])
	what := "whole recordings"
	figures := [][]string{targetHeader, atLeast("requests/s ÷ nginx", toNginx, 0.45, ""), atLeast("requests/s ÷ caddy", toCaddy, 1.1, "")}
	if part > 0 {
		what = fmt.Sprintf("ranges of %d KiB", part>>10)
		figures = [][]string{targetHeader, reference("requests/s ÷ nginx", toNginx, ""), reference("requests/s ÷ caddy", toCaddy, "")}
	}
	table(fmt.Sprintf("audio, %s: %d recordings, %d connections", what, workingSet, connections), rows...)
	table("", append(figures, reference("requests/s ÷ Go's bare ServeContent", ratios(ours, perSecond["bare"]), ""))...)
}
