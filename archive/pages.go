package archive

import (
	"bytes"
	"iter"
	"strings"
	"sync"
)

// List is a list in the published JSON form. It yields pages of rows that are separated
// by newlines; the rows contain none, and no page is empty. A page is good until the next
// one is asked for, and may be changed. An error ends the list, which is then incomplete.
type List iter.Seq2[[]byte, error]

// Rows yields the rows of a list one by one.
func (l List) Rows() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for page, err := range l {
			if err != nil {
				yield("", err)
				return
			}
			for row := range strings.SplitSeq(string(page), "\n") {
				if !yield(row, nil) {
					return
				}
			}
		}
	}
}

// Lists are read a page at a time, so that a client that stalls holds neither a
// connection nor a transaction. The first page is small, since the client is waiting
// for it. Each following page has twice as many rows, up to some 1 MB, since each
// costs a round trip to the database.
const firstPage = 32

// pagesAtOnce is how many pages of a list are in memory at most: one that is being sent,
// one that waits, and one that is being read.
const pagesAtOnce = 3

// pageBuffers are the buffers of pages. A buffer that grew anew for each page would be
// cleared and copied so often that this took longer than anything else.
var pageBuffers = sync.Pool{New: func() any { return new([]byte) }}

// nextPage appends to page the size rows that follow last, which is empty for the first
// page.
type nextPage func(page, last []byte, size int) ([]byte, error)

// pages lists what next returns, in pages of at most most rows. The next pages are read
// while one is being sent, so that neither waits for the other.
func pages(most int, next nextPage) List {
	return func(yield func([]byte, error) bool) {
		p := pager{free: make(chan *[]byte, pagesAtOnce), read: make(chan readPage, pagesAtOnce)}
		for range pagesAtOnce {
			p.free <- pageBuffers.Get().(*[]byte)
		}
		go p.readAll(most, next)
		defer p.end()
		for page := range p.read {
			if page.err != nil {
				yield(nil, page.err)
				return
			}
			if len(*page.buffer) > 0 && !yield(*page.buffer, nil) {
				return
			}
			p.free <- page.buffer
		}
	}
}

// pager passes the pages of a list from the goroutine that reads them to its caller.
type pager struct {
	free chan *[]byte  // buffers for further pages; closed when no more are wanted
	read chan readPage // pages in their order; closed when no more will come
}

type readPage struct {
	buffer *[]byte
	err    error
}

// readAll reads pages until there are no more, one cannot be read, or no more are wanted.
func (p *pager) readAll(most int, next nextPage) {
	defer close(p.read)
	var last []byte
	for size, more := firstPage, true; more; size = min(2*size, most) {
		buffer, wanted := <-p.free
		if !wanted {
			return
		}
		page, err := next((*buffer)[:0], last, size)
		*buffer = page
		more = err == nil && bytes.Count(page, newline)+1 == size
		last = append(last[:0], page[bytes.LastIndexByte(page, '\n')+1:]...)
		p.read <- readPage{buffer, err}
	}
}

var newline = []byte("\n")

// end waits until nothing is being read any more: the goroutine must not outlive the list.
func (p *pager) end() {
	for len(p.free) > 0 {
		select {
		case buffer := <-p.free:
			pageBuffers.Put(buffer)
		default: // readAll was faster
		}
	}
	close(p.free)
	for page := range p.read {
		pageBuffers.Put(page.buffer)
	}
}
