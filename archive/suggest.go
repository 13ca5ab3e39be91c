package archive

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"callvault"
)

// maxSuggested is the longest value that is suggested, in bytes.
const maxSuggested = 200

const findValues = `SELECT v.value FROM json_each($1) AS t CROSS JOIN marked_words AS w CROSS JOIN marked_values AS v
	WHERE w.kind = $2 AND w.tenant = t.key AND w.word >= $3 AND w.word < $4 AND v.mark = w.mark
	AND EXISTS (SELECT 1 FROM marks WHERE marks.mark = w.mark) LIMIT $5`

// Suggest returns values of a field ("agent", "skill" or "tag") whose words begin
// with what was typed, among the granted recordings: at most limit of them, sorted. If
// the grant is narrowed to agents or skills, only the newest MaxFound recordings that
// match are considered.
func (a *Archive) Suggest(ctx context.Context, grant *callvault.Grant, field, typed string, limit int) ([]string, error) {
	if !slices.Contains([]string{kindAgent, kindSkill, kindTag}, field) {
		return nil, fmt.Errorf("only agents, skills and tags can be suggested, not %q: %w", field, callvault.InvalidParameter)
	}
	suggest := a.suggestAny
	if len(grant.Agents) > 0 || len(grant.Skills) > 0 {
		suggest = a.suggestGranted
	}
	found, err := suggest(ctx, grant, field, typed)
	if err != nil {
		return nil, fmt.Errorf("suggest: %w", err)
	}
	delete(found, "")
	maps.DeleteFunc(found, func(value string, _ bool) bool { return len(value) > maxSuggested })
	list := slices.Sorted(maps.Keys(found))
	return list[:max(0, min(limit, len(list)))], nil
}

// suggestAny looks the values up by their words.
func (a *Archive) suggestAny(ctx context.Context, grant *callvault.Grant, field, typed string) (map[string]bool, error) {
	tenants, err := a.tenantsOf(ctx, &Query{Grant: grant})
	if err != nil {
		return nil, err
	}
	wanted := textOf(typed)
	l := lookup{first: "", end: lastRune} // nothing typed: all values
	if typedWords := wanted.lookups(field); len(typedWords) > 0 {
		l = typedWords[0]
	}
	rows, err := a.db.Reader.QueryContext(ctx, findValues, nameSet(tenants), field, l.first, l.end, 4*maxMarks)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[string]bool{}
	for rows.Next() {
		var value string
		if err := rows.Scan(&value); err != nil {
			return nil, err
		}
		if wanted.suits(value) {
			found[value] = true
		}
	}
	return found, rows.Err()
}

// suggestGranted searches the recordings for the values.
func (a *Archive) suggestGranted(ctx context.Context, grant *callvault.Grant, field, typed string) (map[string]bool, error) {
	q := &Query{Grant: grant, Limit: MaxFound}
	var of func(*callvault.Recording) string
	switch field {
	case kindAgent:
		q.Agent, of = typed, func(r *callvault.Recording) string { return r.Agent }
	case kindSkill:
		q.Skill, of = typed, func(r *callvault.Recording) string { return r.Skill }
	case kindTag:
		q.Tag, of = typed, func(r *callvault.Recording) string { return r.TagData }
	}
	page, err := a.Search(ctx, q)
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for _, entry := range page.Entries {
		found[of(&entry.Recording)] = true
	}
	return found, nil
}
