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

// Query is what somebody searches for. An empty field matches everything.
type Query struct {
	// Grant is what the searcher may hear; nothing else is found.
	Grant   *callvault.Grant
	Tenants []string
	Span    callvault.Span // of the recording's start; a To of 0 means no end
	// Party matches the caller, the called party or the agent. It is a number's last
	// digits, at least three; or the whole number with a prefix that is not stored,
	// such as a country code; or prefixes of words of a name.
	Party string
	// Agent, Skill and Tag are prefixes of words.
	Agent, Skill, Tag string
	Direction         string        // the whole word, in either case
	MinLength         time.Duration // both inclusive; a MaxLength of 0 means no limit
	MaxLength         time.Duration
	After             string // the Next of the previous page
	Limit             int    // 1 to MaxFound; 0 means 50
	Effort            int    // how many recordings a page examines at most; 0 means 10,000
}

// MaxFound is the most that one page of a search holds.
const MaxFound = 500

// Found is one page of search results, the newest first, by (start, key, tenant).
type Found struct {
	Entries []*Entry
	// Next is the cursor of the next page; empty when this is the last one.
	Next string
	// SearchedTo is set when the page is not full although there is a Next: the effort
	// of one page reached back to this time, in Unix milliseconds.
	SearchedTo int64
}

// place is a recording's position in the order of searches.
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

// check returns an error unless the place is one that a search can stop at: a
// recording's, or the beginning of a stretch of time.
func (p place) check() error {
	if p.Start < 0 || p.Start > callvault.MaxTime {
		return callvault.InvalidParameter
	}
	if p == (place{Start: p.Start}) {
		return nil
	}
	return errors.Join(callvault.CheckKey("key", p.Key), callvault.CheckKey("tenant", p.Tenant))
}

// parseCursor decodes a cursor. It is not signed: it only says where to continue, so
// a forged one finds nothing that a genuine one would not.
func parseCursor(s string) (p place, err error) {
	encoded, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(encoded, &p)
	}
	if err == nil {
		err = p.check()
	}
	if err != nil {
		return place{}, fmt.Errorf("the part of the address that says where the next page begins is damaged; search again from the start: %w",
			callvault.InvalidParameter)
	}
	return p, nil
}

// usualEffort is how many recordings one page of a search examines at most.
const usualEffort = 10_000

// A search goes back in time one stretch after another. The first stretch has
// firstStretch milliseconds. After one that yields too few recordings, the next is
// widening times as long.
const (
	widening     = 4
	firstStretch = 10 * 60 * 1000
)

// Search finds recordings, the newest first. It goes through the recordings that have
// the rarest of the marks asked for, one stretch of time after another, and examines
// each. If the query is invalid the error is callvault.InvalidParameter.
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
	a        *Archive
	m        *matcher
	through  trail
	limit    int
	effort   int
	from     int64 // Unix milliseconds
	at       place // everything from here on, to later starts, has been examined
	examined int
	next     int // how many to examine next
	found    Found
}

// newHunt prepares a search. It returns nil when nothing can be found.
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
		full, n, err := h.examine(ctx, from)
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
		if h.examined >= h.effort && h.at.Start > h.from {
			h.found.Next, h.found.SearchedTo = h.at.cursor(), h.at.Start
			return nil
		}
	}
}

// examine examines the next candidates that start at from or later. It reports whether
// they filled the page, and otherwise returns how many there were.
func (h *hunt) examine(ctx context.Context, from int64) (full bool, n int, err error) {
	candidates, err := h.candidates(ctx, from, h.next)
	if err != nil {
		return false, 0, err
	}
	var last place
	for _, c := range candidates {
		h.examined++
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
			continue // it has been deleted since
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
