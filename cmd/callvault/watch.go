package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"callvault/collect"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// How often runs are looked at, and told of when nothing changes where there is no
// terminal.
const (
	lookEvery = 250 * time.Millisecond
	tellEvery = 30 * time.Second
)

// watchRuns tells how far runs are, until stop: on a terminal by lines that change,
// elsewhere to plain by a line at each change of a tenant's state, and one for each
// run every 30 seconds.
func watchRuns(runs []*collect.Run, plain io.Writer) (stop func()) {
	if term.IsTerminal(int(os.Stderr.Fd())) {
		return watchOnTerminal(runs)
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		look, tell := time.NewTicker(lookEvery), time.NewTicker(tellEvery)
		defer look.Stop()
		defer tell.Stop()
		told := make([]map[string]string, len(runs))
		for {
			select {
			case <-done:
				printChanges(plain, runs, told)
				return
			case <-look.C:
				told = printChanges(plain, runs, told)
			case <-tell.C:
				for _, run := range runs {
					fmt.Fprintln(plain, totalLine(run.Progress()))
				}
			}
		}
	}()
	return func() { close(done); <-ended }
}

// printChanges writes a line for each tenant whose state is not what was told last,
// by run and tenant. How long a tenant waits changes with each look, and is none.
func printChanges(out io.Writer, runs []*collect.Run, told []map[string]string) []map[string]string {
	for i, run := range runs {
		v := run.Progress()
		if told[i] == nil {
			told[i] = map[string]string{}
		}
		for _, t := range v.Tenants {
			state, _, _ := strings.Cut(t.State, " ")
			if state == collect.StateClosed {
				state = t.State // with the time at which it opens
			}
			if told[i][t.Tenant] != state {
				told[i][t.Tenant] = state
				fmt.Fprintf(out, "%s: %s: %d/%d, %s, %s\n", v.Source, t.Tenant, t.Done, t.Done+t.Due, byteCount(t.Bytes), t.State)
			}
		}
	}
	return told
}

// totalLine is how far a run is, in a line.
func totalLine(v collect.RunProgress) string {
	line := fmt.Sprintf("%s: %d/%d recordings, %s", v.Source, v.Done, v.Done+v.Due, byteCount(v.Bytes))
	if v.ListsLeft > 0 {
		line += fmt.Sprintf(", %d lists to ask for", v.ListsLeft)
	}
	if v.Left > 0 {
		line += ", about " + v.Left.Round(time.Second).String() + " left"
	}
	if v.Later > 0 {
		line += fmt.Sprintf(", %d wait for egress limits", v.Later)
	}
	return line
}

// console is where the log goes: standard error, above the changing lines while
// there are some.
var console = &logWriter{to: os.Stderr}

// logWriter writes to what it is pointed at.
type logWriter struct {
	mu sync.Mutex
	to io.Writer
}

// Write writes a line of the log.
func (w *logWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(line)
}

func (w *logWriter) point(to io.Writer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.to = to
}

// watchOnTerminal shows the total of each run under a line for each of its tenants,
// as many as fit.
func watchOnTerminal(runs []*collect.Run) (stop func()) {
	screen := mpb.New(mpb.WithOutput(os.Stderr), mpb.WithRefreshRate(lookEvery))
	width, height, err := term.GetSize(int(os.Stderr.Fd()))
	if err != nil || width == 0 || height == 0 {
		width, height = 80, 24
	}
	room := max(1, (height-1)/len(runs)-2) // the total, and what is not shown
	var bars []*mpb.Bar
	for _, run := range runs {
		bars = append(bars, screen.New(0, mpb.NopStyle(),
			mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return totalLine(run.Progress()) })),
			mpb.BarExtender(mpb.BarFillerFunc(func(w io.Writer, _ decor.Statistics) error {
				for _, line := range tenantLines(run.Progress(), room) {
					fmt.Fprintf(w, "%.*s\n", width-1, line) // a line that the terminal folds would be counted as one
				}
				return nil
			}), true)))
	}
	console.point(screen)
	return func() {
		console.point(os.Stderr)
		for _, bar := range bars {
			bar.Abort(false)
		}
		screen.Wait()
	}
}

// tenantLines is a line for each tenant, those at work first, and how many there is
// no room for.
func tenantLines(v collect.RunProgress, room int) (lines []string) {
	slices.SortStableFunc(v.Tenants, func(a, b collect.TenantProgress) int { return cmp.Compare(rank(&a), rank(&b)) })
	for i := range v.Tenants[:min(room, len(v.Tenants))] {
		t := &v.Tenants[i]
		lines = append(lines, fmt.Sprintf("  %-24s %6d/%-6d %9s  %s", t.Tenant, t.Done, t.Done+t.Due, byteCount(t.Bytes), t.State))
	}
	if more := len(v.Tenants) - room; more > 0 {
		lines = append(lines, fmt.Sprintf("  and %d more tenants", more))
	}
	return lines
}

// rank orders tenants: those at work, those that wait for lists, those that are
// done or closed.
func rank(t *collect.TenantProgress) int {
	switch state, _, _ := strings.Cut(t.State, " "); state {
	case collect.StateFetching, collect.StateWaiting:
		return 0
	case collect.StateListing:
		return 1
	}
	return 2
}
