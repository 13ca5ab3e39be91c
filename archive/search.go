package archive

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"callvault"
)

// Query is what somebody looks for. An empty field asks for nothing.
type Query struct {
	// Grant is what the one who asks may hear; what it does not let one hear is
	// not found.
	Grant   *callvault.Grant
	Tenants []string
	Span    callvault.Span // of the recording's start; a To of 0 has no end
	// Party is the last digits of a number, three at least, or the number with codes
	// in front that it is not kept with; or beginnings of words of a name: of one who
	// called, was called, or was the agent.
	Party string
	// Agent, Skill and Tag are beginnings of words.
	Agent, Skill, Tag string
	Direction         string        // whole, in either case
	MinLength         time.Duration // both inclusive; a MaxLength of 0 has no end
	MaxLength         time.Duration
	After             string // the Next of the page before
	Limit             int    // 1 to MaxFound; 0 is 50
	Effort            int    // how many recordings a page looks at, at most; 0 is 10,000
}

// MaxFound is the most that one page of a search holds.
const MaxFound = 500

// Found is a page of what a search found, the newest first, by (start, key,
// tenant).
type Found struct {
	Entries []*Entry
	// Next goes on where the page ends; empty when there is no more.
	Next string
	// SearchedTo is set when the page is not full though there is a Next: so far
	// back, in Unix milliseconds, was looked within the effort of one page.
	SearchedTo int64
}

// place is a recording's in the order of searches.
type place struct {
	Start  int64
	Key    string
	Tenant string
}

func (p place) cursor() string {
	encoded, err := json.Marshal(p)
	if err != nil {
		panic(err) // numbers and strings always have a JSON form
	}
	return base64.RawURLEncoding.EncodeToString(encoded)
}

// check tells whether the place can be one of a search: a recording's, or the
// beginning of a stretch of time.
func (p place) check() error {
	if p.Start < 0 || p.Start > callvault.MaxTime {
		return callvault.InvalidParameter
	}
	if p == (place{Start: p.Start}) {
		return nil
	}
	return errors.Join(callvault.CheckKey("key", p.Key), callvault.CheckKey("tenant", p.Tenant))
}

// parseCursor reads a cursor, which says only where to go on: a false one finds
// nothing that a true one would not.
func parseCursor(s string) (p place, err error) {
	encoded, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(encoded, &p)
	}
	if err == nil {
		err = p.check()
	}
	if err != nil {
		return place{}, fmt.Errorf("the address says where the next page begins, but that part of it is damaged; search again from the start: %w",
			callvault.InvalidParameter)
	}
	return p, nil
}

// usualEffort is how many recordings one page of a search looks at, at most.
const usualEffort = 10_000

// widening is how much longer the next stretch of time is than the last one, in
// which there were too few; firstStretch is in milliseconds.
const (
	widening     = 4
	firstStretch = 10 * 60 * 1000
)

// Search finds recordings, the newest first. It goes through those that have the
// rarest of the marks asked for, a stretch of time after the other, and looks at
// each. A mistake of the one who asks is callvault.InvalidParameter.
func (a *Archive) Search(ctx context.Context, q *Query) (*Found, error) {
	hunt, err := a.newHunt(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	if hunt == nil {
		return &Found{}, nil
	}
	if err := hunt.run(ctx); err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	return &hunt.found, nil
}

// hunt is a search under way.
type hunt struct {
	a       *Archive
	m       *matcher
	through trail
	limit   int
	effort  int
	from    int64 // Unix milliseconds
	at      place // everything from here on was looked at
	looked  int
	next    int // how many to look at next
	found   Found
}

// newHunt makes a search ready; nil when nothing can be found.
func (a *Archive) newHunt(ctx context.Context, q *Query) (*hunt, error) {
	h := &hunt{a: a, m: q.matcher(), limit: q.Limit, effort: q.Effort, from: max(0, q.Span.From), at: place{Start: q.Span.To}}
	if h.limit <= 0 {
		h.limit = 50
	}
	h.limit = min(h.limit, MaxFound)
	if h.effort <= 0 {
		h.effort = usualEffort
	}
	h.next = h.limit // the fewest that can fill the page
	if h.at.Start <= 0 || h.at.Start > callvault.MaxTime {
		h.at.Start = callvault.MaxTime + 1
	}
	if q.After != "" {
		after, err := parseCursor(q.After)
		if err != nil {
			return nil, err
		}
		if after.Start < h.at.Start {
			h.at = after
		}
	}
	tenants, err := a.tenantsOf(ctx, q)
	if err != nil || len(tenants) == 0 {
		return nil, err
	}
	demands, possible, err := a.demands(ctx, h.m, tenants)
	if err != nil || !possible {
		return nil, err
	}
	all := len(q.Tenants) == 0 && q.Grant.AllTenants
	h.through, err = a.trail(ctx, demands, tenants, all, callvault.Span{From: h.from, To: h.at.Start + 1})
	return h, err
}

// run fills the page.
func (h *hunt) run(ctx context.Context) error {
	stretch := int64(firstStretch)
	for {
		top, err := h.a.latestStart(ctx, &h.through, h.at)
		if err != nil || top < h.from {
			return err
		}
		from := max(h.from, top-stretch)
		full, n, err := h.lookAt(ctx, from)
		if err != nil || full {
			return err
		}
		if n == h.next {
			stretch = max(1, top-h.at.Start)
			h.next = min(2*h.next, pageEntries)
		} else {
			h.at = place{Start: from}
			stretch *= widening
		}
		if h.looked >= h.effort && h.at.Start > h.from {
			h.found.Next, h.found.SearchedTo = h.at.cursor(), h.at.Start
			return nil
		}
	}
}

// lookAt looks at a page of candidates that start at from or later, and tells
// whether that filled the page of the search, else how many there were.
func (h *hunt) lookAt(ctx context.Context, from int64) (full bool, n int, err error) {
	candidates, err := h.candidates(ctx, from, h.next)
	if err != nil {
		return false, 0, err
	}
	var last place
	for _, c := range candidates {
		h.looked++
		h.at = c.place
		if c.json == nil || c.place == last {
			continue
		}
		last = c.place
		var r callvault.Recording
		if err := json.Unmarshal(c.json, &r); err != nil {
			return false, 0, fmt.Errorf("row of recording %s: %w", c.Key, err)
		}
		if fits, err := h.a.fits(ctx, h.m, &r); err != nil || !fits {
			if err != nil {
				return false, 0, err
			}
			continue
		}
		entry, err := h.a.Find(ctx, c.Tenant, c.Key)
		if errors.Is(err, callvault.NotFound) {
			continue // it went since
		}
		if err != nil {
			return false, 0, err
		}
		if h.found.Entries = append(h.found.Entries, entry); len(h.found.Entries) == h.limit {
			h.found.Next = h.at.cursor()
			return true, 0, nil
		}
	}
	return false, len(candidates), nil
}
