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

const (
	lookEvery  = 250 * time.Millisecond // how often the progress of runs is looked at
	totalEvery = 30 * time.Second       // how often each run's total is printed where there is no terminal
)

// watchRuns shows the progress of runs until stop is called: on a terminal in lines that
// change in place, elsewhere on plain, as a line at each change of a tenant's state and
// one for each run every 30 seconds.
func watchRuns(runs []*collect.Run, plain io.Writer) (stop func()) {
	if term.IsTerminal(int(os.Stderr.Fd())) {
		return watchOnTerminal(runs)
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		look, totals := time.NewTicker(lookEvery), time.NewTicker(totalEvery)
		defer look.Stop()
		defer totals.Stop()
		printed := make([]map[string]string, len(runs))
		for {
			select {
			case <-done:
				printChanges(plain, runs, printed)
				return
			case <-look.C:
				printChanges(plain, runs, printed)
			case <-totals.C:
				for _, run := range runs {
					fmt.Fprintln(plain, totalLine(run.Progress()))
				}
			}
		}
	}()
	return func() { close(done); <-ended }
}

// printChanges prints a line for each tenant whose state is no longer the one in printed,
// which holds a map of tenants for each run, and updates that. How long a tenant still
// waits is no change of state.
func printChanges(out io.Writer, runs []*collect.Run, printed []map[string]string) {
	for i, run := range runs {
		v := run.Progress()
		if printed[i] == nil {
			printed[i] = map[string]string{}
		}
		for _, t := range v.Tenants {
			state, _, _ := strings.Cut(t.State, " ")
			if state == collect.StateClosed {
				state = t.State // with the time at which it opens
			}
			if printed[i][t.Tenant] != state {
				printed[i][t.Tenant] = state
				fmt.Fprintf(out, "%s: %s: %d/%d, %s, %s\n", v.Source, t.Tenant, t.Done, t.Done+t.Due, byteCount(t.Bytes), t.State)
			}
		}
	}
}

// totalLine returns the progress of a run as one line.
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

// console is where the log goes: standard error, or above the changing lines while a
// terminal shows some.
var console = &logWriter{to: os.Stderr}

// logWriter writes to a destination that can be changed.
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
	room := max(1, (height-1)/len(runs)-2) // two lines for the total and for how many are not shown
	var bars []*mpb.Bar
	for _, run := range runs {
		bars = append(bars, screen.New(0, mpb.NopStyle(),
			mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return totalLine(run.Progress()) })),
			mpb.BarExtender(mpb.BarFillerFunc(func(w io.Writer, _ decor.Statistics) error {
				for _, line := range tenantLines(run.Progress(), room) {
					fmt.Fprintf(w, "%.*s\n", width-1, line) // cut: a line that the terminal wraps would be counted as one
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

// tenantLines returns a line for each tenant, the busy ones first, and one that says how
// many there is no room for.
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

// rank orders tenants: first those being fetched from, then those that wait for lists,
// then those that are done or closed.
func rank(t *collect.TenantProgress) int {
	switch state, _, _ := strings.Cut(t.State, " "); state {
	case collect.StateFetching, collect.StateWaiting:
		return 0
	case collect.StateListing:
		return 1
	}
	return 2
}
