package archive

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"callvault"
)

// matcher is a query prepared for comparison with recordings.
type matcher struct {
	*Query
	party, agent, skill, tag text
}

func (q *Query) matcher() *matcher {
	m := &matcher{Query: q, party: textOf(q.Party), agent: textOf(q.Agent), skill: textOf(q.Skill), tag: textOf(q.Tag)}
	m.party.dialed = true
	return m
}

// suits reports whether a value is what this field of the query asks for.
func (t text) suits(value string) bool {
	return len(t.words) == 0 || value != "" && t.finds(textOf(value))
}

// fits reports whether the recording matches the query and may be heard. Every
// result of a search passes this check, whatever led to it.
func (a *Archive) fits(ctx context.Context, m *matcher, r *callvault.Recording) (bool, error) {
	if !m.Grant.MayHear(r) || len(m.Tenants) > 0 && !slices.Contains(m.Tenants, r.TenantName) ||
		!m.hasLength(r.Duration) || !m.hasDirection(r.CallDirection) ||
		!m.agent.suits(r.Agent) || !m.skill.suits(r.Skill) || !m.tag.suits(r.TagData) {
		return false, nil
	}
	if m.party.suits(r.CallingParty) || m.party.suits(r.ReceivingParty) || m.party.suits(r.Agent) {
		return true, nil
	}
	call, err := callOf(ctx, a.db.Reader, r.TenantName, r.CallKey)
	return call != nil && m.party.suits(call.caller()), err
}

// hasLength reports whether a length in milliseconds is one that is asked for.
func (m *matcher) hasLength(ms int64) bool {
	return ms >= m.MinLength.Milliseconds() && (m.MaxLength <= 0 || ms <= m.MaxLength.Milliseconds())
}

func (m *matcher) hasDirection(direction string) bool {
	return m.Direction == "" || strings.EqualFold(m.Direction, direction)
}

// maxMarks is how many values one search term may match for its marks to be used. A
// term that matches more is so common that it is found by looking at all recordings.
const maxMarks = 1000

// demand is one condition of a query: a recording must have one of these marks.
type demand struct {
	marks []int64
	count int // how many recordings have one, up to enough
}

// lookup selects the values that satisfy a demand: those of these kinds that have a
// word w with first <= w < end, and that accept accepts.
type lookup struct {
	kinds      []string
	first, end string
	accept     func(value string) bool
}

// lookups returns the look-ups for what was typed, t. They use its longest word, which
// is likely to be the rarest.
func (t text) lookups(kinds ...string) []lookup {
	if len(t.words) == 0 {
		return nil
	}
	word := slices.MaxFunc(t.words, func(a, b string) int { return len(a) - len(b) })
	if !t.named && t.number != "" {
		number := t.number
		if t.dialed {
			number = number[max(0, len(number)-localDigits):]
		}
		word = backwards(number)
	}
	return []lookup{{kinds, word, word + lastRune, func(value string) bool { return t.finds(textOf(value)) }}}
}

// lastRune sorts after anything that can follow a prefix of a word.
const lastRune = "\U0010FFFF"

// exactly returns the look-ups for the values that a grant names; none if one of them has
// no words, as "", and so no mark.
func exactly(kind string, values []string) (list []lookup) {
	for _, value := range values {
		lookups := textOf(value).lookups(kind)
		if len(lookups) == 0 {
			return nil
		}
		for _, l := range lookups {
			l.accept = func(other string) bool { return other == cut(keepable(value), maxValueBytes) }
			list = append(list, l)
		}
	}
	return list
}

// shapes returns the look-ups for a direction and a range of lengths.
func (m *matcher) shapes() []lookup {
	if m.Direction == "" && m.MinLength <= 0 && m.MaxLength <= 0 {
		return nil
	}
	first, end := lengthClass(max(0, m.MinLength.Milliseconds())), lastRune
	if m.MaxLength > 0 {
		end = lengthClass(m.MaxLength.Milliseconds()) + lastRune
	}
	return []lookup{{[]string{kindShape}, first, end, func(shape string) bool { return m.hasDirection(shape[3:]) }}}
}

// demands returns the conditions of the query that narrow a search. possible is false
// when no recording can satisfy one of them.
func (a *Archive) demands(ctx context.Context, m *matcher, tenants []string) (list []demand, possible bool, err error) {
	asked := [][]lookup{
		m.party.lookups(kindParty, kindAgent), m.agent.lookups(kindAgent), m.skill.lookups(kindSkill), m.tag.lookups(kindTag),
		m.shapes(), exactly(kindAgent, m.Grant.Agents), exactly(kindSkill, m.Grant.Skills),
	}
	for _, lookups := range asked {
		if len(lookups) == 0 {
			continue
		}
		marks, narrow, err := a.lookUp(ctx, lookups, tenants)
		if err != nil {
			return nil, false, err
		}
		if narrow && len(marks) == 0 {
			return nil, false, nil
		}
		if narrow {
			list = append(list, demand{marks: marks})
		}
	}
	return list, true, nil
}

const findMarks = `SELECT w.mark, v.value FROM json_each($1) AS t CROSS JOIN marked_words AS w CROSS JOIN marked_values AS v
	WHERE w.kind = $2 AND w.tenant = t.key AND w.word >= $3 AND w.word < $4 AND v.mark = w.mark LIMIT $5`

// lookUp finds the marks of the look-ups in these tenants. narrow is false when there
// are too many to be useful.
func (a *Archive) lookUp(ctx context.Context, lookups []lookup, tenants []string) (marks []int64, narrow bool, err error) {
	for _, l := range lookups {
		for _, kind := range l.kinds {
			n := 0
			rows, err := a.db.Reader.QueryContext(ctx, findMarks, nameSet(tenants), kind, l.first, l.end, 4*maxMarks)
			if err != nil {
				return nil, false, fmt.Errorf("words: %w", err)
			}
			defer rows.Close()
			for rows.Next() {
				var id int64
				var value string
				if err := rows.Scan(&id, &value); err != nil {
					return nil, false, fmt.Errorf("words: %w", err)
				}
				if n++; l.accept(value) {
					marks = append(marks, id)
				}
			}
			if err := rows.Err(); err != nil {
				return nil, false, fmt.Errorf("words: %w", err)
			}
			if n == 4*maxMarks || len(marks) > maxMarks {
				return nil, false, nil
			}
		}
	}
	slices.Sort(marks)
	return slices.Compact(marks), true, nil
}
