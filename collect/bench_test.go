//go:build unix

package collect

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// BenchmarkPacing has 10,000 tenants wait at the default pace, and reports the processor
// time and memory that takes. An iteration is a second.
func BenchmarkPacing(b *testing.B) {
	const tenants = 10_000
	source := &Source{Name: "acme", Pace: DefaultPace}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	ctx, stop := context.WithCancel(context.Background())
	var requests, early atomic.Int64
	var waiting sync.WaitGroup
	for i := range tenants {
		// As if each had asked last at some time within the pace.
		last := time.Now().UnixMilli() - int64(i)*DefaultPace.Milliseconds()/tenants
		p := newPacer(source, [3]int64{last - 2*DefaultPace.Milliseconds(), last - DefaultPace.Milliseconds(), last})
		waiting.Go(func() {
			for p.wait(ctx) == nil {
				requests.Add(1)
				if last, _ := p.snapshot(); time.Now().UnixMilli()-last[1] < DefaultPace.Milliseconds() {
					early.Add(1)
				}
			}
		})
	}
	time.Sleep(DefaultPace) // all wait as they will
	runtime.ReadMemStats(&after)
	began, requested := processor(b), requests.Load()
	b.ResetTimer()
	time.Sleep(time.Duration(b.N) * time.Second)
	b.StopTimer()
	wall := time.Duration(b.N) * time.Second
	used, made := processor(b)-began, requests.Load()-requested
	stop()
	waiting.Wait()
	if early.Load() > 0 {
		b.Errorf("%d requests came early", early.Load())
	}
	b.ReportMetric(100*used.Seconds()/wall.Seconds(), "%core")
	b.ReportMetric(float64(made)/wall.Seconds(), "requests/s")
	b.ReportMetric(float64(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse)/1e6, "MB")
	b.ReportMetric(0, "ns/op")
}

// processor returns the processor time that this process has used.
func processor(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
