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

// Each page follows the one before it, and is read while that one is being sent. A page that
// cannot be read ends the list, after the lines of those before it.
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
					t.Errorf("while the first page is sent, %d are being read", n)
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

// Once the caller has left a list, nothing more is read.
func TestPagesLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reading{}
		for range pages(100, r.next) {
			break
		}
		synctest.Wait()
		if n := r.busy.Load(); n != 0 {
			t.Errorf("%d pages are still being read", n)
		}
	})
}
