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

// reading is pages of numbered lines, each of which takes a second to read.
type reading struct {
	sizes []int // of the pages that were asked for
	last  []string
	fails int          // the page that cannot be read
	busy  atomic.Int32 // reads that are under way
}

var errPage = errors.New("the page cannot be read")

func (r *reading) next(last string, size int) (string, error) {
	r.sizes, r.last = append(r.sizes, size), append(r.last, last)
	r.busy.Add(1)
	defer r.busy.Add(-1)
	time.Sleep(time.Second)
	if len(r.sizes) == r.fails {
		return "", errPage
	}
	lines := make([]string, size)
	for i := range lines {
		lines[i] = fmt.Sprint(len(r.sizes), ".", i)
	}
	return strings.Join(lines, "\n"), nil
}

// TestPages: each page follows the one before it, and is read while that is sent;
// one that cannot be read ends the list, after all that could be.
func TestPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reading{fails: 4}
		n := 0
		var failed error
		for line, err := range pages(100, r.next) {
			if n++; err != nil {
				failed = err
			} else if line == "1.0" {
				synctest.Wait()
				if n := r.busy.Load(); n != 1 {
					t.Errorf("while the first page is sent %d are read", n)
				}
			}
		}
		if !slices.Equal(r.sizes, []int{32, 64, 100, 100}) || !slices.Equal(r.last, []string{"", "1.31", "2.63", "3.99"}) {
			t.Errorf("asked for pages of %v lines, after %q", r.sizes, r.last)
		}
		if n != 32+64+100+1 || failed != errPage {
			t.Errorf("%d lines, the last with %v", n, failed)
		}
	})
}

// TestPagesLeft: nothing is read any more when a list is left.
func TestPagesLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reading{}
		for range pages(100, r.next) {
			break
		}
		synctest.Wait()
		if n := r.busy.Load(); n != 0 {
			t.Errorf("%d pages are still read", n)
		}
	})
}
