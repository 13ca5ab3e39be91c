package archive

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// reading yields pages of numbered lines. Each page takes a second to read.
type reading struct {
	sizes []int // of the pages that were requested
	last  []string
	fails int          // the number of the page that cannot be read
	busy  atomic.Int32 // reads under way
}

var errPage = errors.New("the page cannot be read")

func (r *reading) next(page, last []byte, size int) ([]byte, error) {
	r.sizes = append(r.sizes, size)
	r.busy.Add(1)
	defer r.busy.Add(-1)
	time.Sleep(time.Second)
	r.last = append(r.last, string(last))
	lines := make([]string, size)
	for i := range lines {
		lines[i] = fmt.Sprint(len(r.sizes), ".", i)
	}
	page = append(page, strings.Join(lines, "\n")...)
	if len(r.sizes) == r.fails { // at its very end
		return page, errPage
	}
	return page, nil
}

// Each page follows the one before it, and two are read while one is being sent. A page that
// cannot be read ends the list, after the lines of those before it.
func TestPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reading{fails: 4}
		n := 0
		var failed error
		for line, err := range pages(100, r.next).Rows() {
			if n++; err != nil {
				failed = err
			} else if line == "1.0" {
				for i, want := range []int32{1, 1, 0} {
					synctest.Wait()
					if n := r.busy.Load(); n != want {
						t.Errorf("%d s after the first page began to be sent, %d are being read, want %d", i, n, want)
					}
					time.Sleep(time.Second)
				}
			}
		}
		if !slices.Equal(r.sizes, []int{32, 64, 100, 100}) || !slices.Equal(r.last, []string{"", "1.31", "2.63", "3.99"}) {
			t.Errorf("requested pages of %v lines, after %q", r.sizes, r.last)
		}
		if n != 32+64+100+1 || failed != errPage {
			t.Errorf("%d lines, the last with %v", n, failed)
		}
	})
}

// A page stays as it is while the next ones are read, and what the caller makes of it
// changes nothing about those, whether it is slower than they are read or faster.
func TestPageBuffers(t *testing.T) {
	for _, slow := range []time.Duration{0, 10 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			r := &reading{fails: 5}
			n := 0
			for page, err := range pages(100, r.next) {
				if n++; err != nil {
					break
				}
				before := string(page)
				if !strings.HasPrefix(before, fmt.Sprint(n, ".0\n", n, ".1\n")) {
					t.Errorf("page %d begins with %.10q", n, before)
				}
				if time.Sleep(slow); string(page) != before {
					t.Errorf("page %d has changed while the next ones were read", n)
				}
				clear(page)
			}
			if !slices.Equal(r.last, []string{"", "1.31", "2.63", "3.99", "4.99"}) {
				t.Errorf("requested the pages after %q", r.last)
			}
		})
	}
}

// Once the caller has left a list, nothing more is read than the page that is being read.
func TestPagesLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reading{}
		for range pages(100, r.next) {
			break
		}
		synctest.Wait()
		if n := r.busy.Load(); n != 0 || len(r.sizes) != 2 {
			t.Errorf("%d pages are still being read, of %d", n, len(r.sizes))
		}
	})
}
