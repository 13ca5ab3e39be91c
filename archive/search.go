package archive

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
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
	// Party is the last digits of a number, three at least, or beginnings of words
	// of a name: of one who called, was called, or was the agent.
	Party string
	// Agent, Skill and Tag are beginnings of words.
	Agent, Skill, Tag string
	Direction         string        // whole, in either case
	MinLength         time.Duration // both inclusive; a MaxLength of 0 has no end
	MaxLength         time.Duration
	After             string // the Next of the page before
	Limit             int    // 1 to MaxFound; 0 is 50
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

// parseCursor reads a cursor, which says only where to go on: a false one finds
// nothing that a true one would not.
func parseCursor(s string) (p place, err error) {
	encoded, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(encoded, &p)
	}
	if err == nil {
		err = callvault.CheckKey("key", p.Key)
	}
	if err == nil {
		err = callvault.CheckKey("tenant", p.Tenant)
	}
	if err != nil || p.Start < 0 || p.Start > callvault.MaxTime {
		return place{}, fmt.Errorf("the address says where the next page begins, but that part of it is damaged; search again from the start: %w",
			callvault.InvalidParameter)
	}
	return p, nil
}

// matcher is a query made ready to look at recordings.
type matcher struct {
	*Query
	party, agent, skill, tag text
}

func (q *Query) matcher() *matcher {
	return &matcher{Query: q, party: textOf(q.Party), agent: textOf(q.Agent), skill: textOf(q.Skill), tag: textOf(q.Tag)}
}

func asked(t text, value string) bool { return len(t.words) == 0 || t.finds(textOf(value)) }

// effort is how many recordings are looked at for one page, at most.
const effort = 20_000

const newest = `SELECT ` + entryColumns + ` FROM recordings INDEXED BY recordings_by_start
	WHERE start_ms >= $1 AND (start_ms, recording_key, tenant) < ($2, $3, $4)
	ORDER BY start_ms DESC, recording_key DESC, tenant DESC LIMIT $5`

// Search finds recordings. A mistake of the one who asks is
// callvault.InvalidParameter.
func (a *Archive) Search(ctx context.Context, q *Query) (*Found, error) {
	limit := q.Limit
	if limit == 0 {
		limit = 50
	}
	to := q.Span.To
	if to <= 0 || to > callvault.MaxTime {
		to = callvault.MaxTime + 1
	}
	from := place{Start: to}
	if q.After != "" {
		after, err := parseCursor(q.After)
		if err != nil {
			return nil, err
		}
		if after.Start < to {
			from = after
		}
	}
	m, found := q.matcher(), &Found{}
	for looked := 0; looked < effort; looked += pageRecordings {
		page, err := queryEntries(ctx, a.db.Reader, newest, q.Span.From, from.Start, from.Key, from.Tenant, pageRecordings)
		if err != nil {
			return nil, fmt.Errorf("search: %w", err)
		}
		for _, e := range page {
			r := &e.Recording
			from = place{r.StartTime, r.RecordingKey, r.TenantName}
			if !m.matches(r) {
				continue
			}
			if found.Entries = append(found.Entries, e); len(found.Entries) == limit {
				found.Next = from.cursor()
				return found, nil
			}
		}
		if len(page) < pageRecordings {
			return found, nil
		}
	}
	found.Next, found.SearchedTo = from.cursor(), from.Start
	return found, nil
}

func (m *matcher) matches(r *callvault.Recording) bool {
	length := time.Duration(r.Duration) * time.Millisecond
	return m.Grant.MayHear(r) && (len(m.Tenants) == 0 || slices.Contains(m.Tenants, r.TenantName)) &&
		(m.Direction == "" || strings.EqualFold(m.Direction, r.CallDirection)) &&
		length >= m.MinLength && (m.MaxLength == 0 || length <= m.MaxLength) &&
		asked(m.agent, r.Agent) && asked(m.skill, r.Skill) && asked(m.tag, r.TagData) &&
		(asked(m.party, r.CallingParty) || asked(m.party, r.ReceivingParty) || asked(m.party, r.Agent))
}

// Suggest lists values of a field, "agent", "skill" or "tag", of which a word
// begins with prefix, among what is granted: at most limit of them, in their
// order.
func (a *Archive) Suggest(ctx context.Context, grant *callvault.Grant, field, prefix string, limit int) ([]string, error) {
	of, known := map[string]func(*callvault.Recording) string{
		"agent": func(r *callvault.Recording) string { return r.Agent },
		"skill": func(r *callvault.Recording) string { return r.Skill },
		"tag":   func(r *callvault.Recording) string { return r.TagData },
	}[field]
	if !known {
		return nil, fmt.Errorf("there are agents, skills and tags to suggest, not %q: %w", field, callvault.InvalidParameter)
	}
	found, err := a.Search(ctx, &Query{Grant: grant, Limit: MaxFound})
	if err != nil {
		return nil, err
	}
	wanted := textOf(prefix)
	values := map[string]bool{}
	for _, e := range found.Entries {
		if value := of(&e.Recording); value != "" && asked(wanted, value) {
			values[value] = true
		}
	}
	list := slices.Sorted(maps.Keys(values))
	return list[:min(limit, len(list))], nil
}
