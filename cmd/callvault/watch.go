package main

import (
	"fmt"
	"os"
	"time"

	"callvault/collect"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// watchedTenants is how many tenants have a line of their own on a terminal.
const watchedTenants = 12

// watchRuns tells on standard error how far runs are, until stop: on a terminal
// lines that change, elsewhere a line every 30 seconds.
func watchRuns(runs []*collect.Run) (stop func()) {
	if term.IsTerminal(int(os.Stderr.Fd())) {
		return watchOnTerminal(runs)
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(30 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				for _, run := range runs {
					fmt.Fprintln(os.Stderr, totalLine(run.View()))
				}
			}
		}
	}()
	return func() { close(done); <-ended }
}

// totalLine is how far a run is, in a line.
func totalLine(v collect.View) string {
	line := fmt.Sprintf("%s: %d of %d recordings, %s", v.Source, v.Done, v.Done+v.Due, byteCount(v.Bytes))
	if v.ListsLeft > 0 {
		line += fmt.Sprintf(", %d lists to ask for", v.ListsLeft)
	}
	if v.Left > 0 {
		line += ", about " + v.Left.Round(time.Second).String() + " left"
	}
	return line
}

// watchOnTerminal shows the total of each run and a line for each of its tenants
// that are at work, as many as fit.
func watchOnTerminal(runs []*collect.Run) (stop func()) {
	screen := mpb.New(mpb.WithOutput(os.Stderr), mpb.WithRefreshRate(250*time.Millisecond))
	var lines []*mpb.Bar
	add := func(text func() string) {
		lines = append(lines, screen.New(0, mpb.NopStyle(), mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return text() }))))
	}
	for _, run := range runs {
		for i := range watchedTenants {
			add(func() string { return tenantLine(run.View(), i) })
		}
		add(func() string { return totalLine(run.View()) })
	}
	return func() {
		for _, line := range lines {
			line.Abort(true)
		}
		screen.Wait()
	}
}

// tenantLine is the line of the i-th tenant that is not done yet; empty when
// there are not so many.
func tenantLine(v collect.View, i int) string {
	for _, t := range v.Tenants {
		if t.State == "done" {
			continue
		}
		if i == 0 {
			return fmt.Sprintf("  %-28s %6d/%-6d %10s  %s", t.Tenant, t.Done, t.Done+t.Due, byteCount(t.Bytes), t.State)
		}
		i--
	}
	return ""
}
