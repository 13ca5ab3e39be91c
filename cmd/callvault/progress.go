package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// plainEvery is how often progress is printed where there is no terminal.
const plainEvery = 10 * time.Second

// progress shows on standard error how far a long operation is and when it will be done:
// as a bar on a terminal, as a line every plainEvery elsewhere.
type progress struct {
	out   io.Writer
	what  string
	bars  *mpb.Progress
	bar   *mpb.Bar
	began time.Time

	mu      sync.Mutex
	done    int64 // of total, which counts bytes or items
	total   int64
	items   int
	printed time.Time // when a line was last printed
}

// newProgress begins to show the progress of an operation on total bytes or items.
func newProgress(what string, total int64) *progress {
	p := &progress{out: os.Stderr, what: what, total: total, began: time.Now(), printed: time.Now()}
	if term.IsTerminal(int(os.Stderr.Fd())) {
		p.bars = mpb.New(mpb.WithOutput(os.Stderr), mpb.WithWidth(64))
		p.bar = p.bars.AddBar(total,
			mpb.PrependDecorators(decor.Name(what+" "), decor.Any(func(decor.Statistics) string { return p.count() })),
			mpb.AppendDecorators(decor.Percentage(), decor.Name("  "), decor.Any(func(decor.Statistics) string { return p.eta() })))
	}
	return p
}

// add counts one more item, which makes up amount of the total.
func (p *progress) add(amount int64) { p.advance(1, amount) }

// skip takes what need not be done off the total, so that it does not make the rest seem
// fast. A negative amount adds to the total.
func (p *progress) skip(amount int64) {
	p.mu.Lock()
	p.total -= amount
	total := p.total
	p.mu.Unlock()
	if p.bar != nil {
		p.bar.SetTotal(total, false)
	}
}

// advance counts more items, which together make up amount of the total.
func (p *progress) advance(items int, amount int64) {
	p.mu.Lock()
	p.items += items
	p.done += amount
	percent := 100 * p.done / max(1, p.total)
	plain := p.bar == nil && time.Since(p.printed) >= plainEvery
	if plain {
		p.printed = time.Now()
	}
	p.mu.Unlock()
	if plain {
		fmt.Fprintf(p.out, "%s: %s, %d %%, %s\n", p.what, p.count(), percent, p.eta())
	}
	if p.bar != nil {
		p.bar.IncrInt64(amount)
	}
}

func (p *progress) count() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprintf("%d done", p.items)
}

// eta estimates how long the rest takes at the pace so far.
func (p *progress) eta() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	took := time.Since(p.began)
	if p.done == 0 || took < time.Second {
		return "estimating the time left"
	}
	left := time.Duration(float64(took) * float64(p.total-p.done) / float64(p.done))
	return "about " + left.Round(time.Second).String() + " left"
}

// end removes the bar.
func (p *progress) end() {
	if p.bar != nil {
		p.bar.Abort(true)
		p.bars.Wait()
	}
}
