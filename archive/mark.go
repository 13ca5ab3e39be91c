package archive

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"callvault"
)

// The kinds of marks. A party is somebody in a call who is not its agent; the
// shape is the direction and the class of the length, which are looked for
// together and have few values.
const (
	kindAgent = "agent"
	kindParty = "party"
	kindSkill = "skill"
	kindTag   = "tag"
	kindShape = "shape"
)

// mark is a value by which a recording is found.
type mark struct {
	id                  int64
	tenant, kind, value string
}

func newMark(tenant, kind, value string) mark {
	m := mark{tenant: tenant, kind: kind, value: cut(value, maxValueBytes)}
	sum := fnv.New64a()
	for _, part := range []string{tenant, kind, m.value} {
		sum.Write([]byte(part))
		sum.Write([]byte{0})
	}
	m.id = int64(sum.Sum64())
	return m
}

// marksOf are the marks of a recording in a call from caller.
func marksOf(r *callvault.Recording, caller string) []mark {
	var list []mark
	add := func(kind, value string) {
		if m := newMark(r.TenantName, kind, value); value != "" && !slices.Contains(list, m) {
			list = append(list, m)
		}
	}
	add(kindAgent, r.Agent)
	for _, party := range []string{r.CallingParty, r.ReceivingParty, caller} {
		if party != r.Agent {
			add(kindParty, party)
		}
	}
	add(kindSkill, r.Skill)
	add(kindTag, r.TagData)
	add(kindShape, lengthClass(r.Duration)+" "+r.CallDirection)
	return list
}

// lengthClass is two digits that grow with the length, in milliseconds: the
// number of bits of its seconds.
func lengthClass(ms int64) string { return fmt.Sprintf("%02d", bits.Len64(uint64(ms/1000))) }

// searchWords are the words that a mark is found by. Among them "#" and a number
// backwards, so that its last digits come first.
func (m *mark) searchWords() []string {
	if m.kind == kindShape {
		return []string{m.value[:2]}
	}
	t := textOf(m.value)
	words := t.words
	if t.number != "" {
		words = append(words, backwards(t.number))
	}
	slices.Sort(words)
	return slices.Compact(words)
}

func backwards(number string) string {
	digits := []byte(number)
	slices.Reverse(digits)
	return "#" + string(digits)
}

// markRow brings the marks of a row that was written up to date; now is its call,
// before the same call as it was known until now.
func markRow(ctx context.Context, tx *sql.Tx, earlier, entry *Entry, now, before *callRow) error {
	is := marksOf(&entry.Recording, now.caller())
	if earlier == nil {
		return addMarks(ctx, tx, &entry.Recording, is)
	}
	if earlier.Recording.CallKey != entry.Recording.CallKey {
		before = nil // it is another call's
	}
	was := marksOf(&earlier.Recording, before.caller())
	if earlier.Recording.StartTime == entry.Recording.StartTime {
		both := slices.DeleteFunc(slices.Clone(was), func(m mark) bool { return !slices.Contains(is, m) })
		kept := func(m mark) bool { return slices.Contains(both, m) }
		is, was = slices.DeleteFunc(is, kept), slices.DeleteFunc(was, kept)
	}
	if err := deleteMarks(ctx, tx, &earlier.Recording, was); err != nil {
		return err
	}
	return addMarks(ctx, tx, &entry.Recording, is)
}

// caller is who called, as the call tells it; nothing of no call.
func (row *callRow) caller() string {
	if row == nil {
		return ""
	}
	return row.call.CallerID
}

func addMarks(ctx context.Context, tx *sql.Tx, r *callvault.Recording, list []mark) error {
	if len(list) == 0 {
		return nil
	}
	if err := nameMarks(ctx, tx, list); err != nil {
		return err
	}
	args := []any{r.StartTime, r.RecordingKey, r.TenantName}
	for i := range list {
		args = append(args, list[i].id)
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO marks (mark, start_ms, recording_key, tenant) VALUES `+
		rows(len(list), func(i int) string { return "($" + strconv.Itoa(i+4) + ", $1, $2, $3)" })+` ON CONFLICT DO NOTHING`, args...)
	if err != nil {
		return fmt.Errorf("marks of recording %s: %w", r.RecordingKey, err)
	}
	return nil
}

func deleteMarks(ctx context.Context, tx *sql.Tx, r *callvault.Recording, list []mark) error {
	for i := range list {
		_, err := tx.ExecContext(ctx, `DELETE FROM marks WHERE mark = $1 AND start_ms = $2 AND recording_key = $3 AND tenant = $4`,
			list[i].id, r.StartTime, r.RecordingKey, r.TenantName)
		if err != nil {
			return fmt.Errorf("marks of recording %s: %w", r.RecordingKey, err)
		}
	}
	return nil
}

// nameMarks keeps what the marks stand for, of those that are new.
func nameMarks(ctx context.Context, tx *sql.Tx, list []mark) error {
	var args []any
	for i := range list {
		args = append(args, list[i].id, list[i].tenant, list[i].kind, list[i].value)
	}
	added, err := tx.QueryContext(ctx, `INSERT INTO marked_values (mark, tenant, kind, value) VALUES `+
		rows(len(list), func(i int) string { return fmt.Sprintf("($%d, $%d, $%d, $%d)", 4*i+1, 4*i+2, 4*i+3, 4*i+4) })+
		` ON CONFLICT DO NOTHING RETURNING mark`, args...)
	if err != nil {
		return fmt.Errorf("values: %w", err)
	}
	defer added.Close()
	var fresh []mark
	for added.Next() {
		var id int64
		if err := added.Scan(&id); err != nil {
			return fmt.Errorf("values: %w", err)
		}
		fresh = append(fresh, list[slices.IndexFunc(list, func(m mark) bool { return m.id == id })])
	}
	if err := errors.Join(added.Err(), added.Close()); err != nil {
		return fmt.Errorf("values: %w", err)
	}
	for i := range fresh {
		for _, word := range fresh[i].searchWords() {
			_, err := tx.ExecContext(ctx, `INSERT INTO marked_words (kind, tenant, word, mark) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
				fresh[i].kind, fresh[i].tenant, word, fresh[i].id)
			if err != nil {
				return fmt.Errorf("words: %w", err)
			}
		}
	}
	return nil
}

// rows are n rows of a VALUES clause.
func rows(n int, row func(i int) string) string {
	list := make([]string, n)
	for i := range list {
		list[i] = row(i)
	}
	return strings.Join(list, ", ")
}

// markCall gives the recordings of a call the mark of who called.
func markCall(ctx context.Context, tx *sql.Tx, c *callvault.Call) error {
	if c.CallerID == "" {
		return nil
	}
	m := newMark(c.TenantName, kindParty, c.CallerID)
	if err := nameMarks(ctx, tx, []mark{m}); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO marks (mark, start_ms, recording_key, tenant)
		SELECT CAST($1 AS BIGINT), start_ms, recording_key, tenant FROM recordings INDEXED BY recordings_by_call
		WHERE tenant = $2 AND call_key = $3 ON CONFLICT DO NOTHING`, m.id, c.TenantName, c.CallKey)
	if err != nil {
		return fmt.Errorf("marks of call %s: %w", c.CallKey, err)
	}
	return nil
}

const unmarkedPage = `SELECT ` + entryColumns + ` FROM recordings WHERE (tenant, start_ms, recording_key) > ($1, $2, $3)
	ORDER BY tenant, start_ms, recording_key LIMIT $4`

// markAll marks recordings that were kept before there were marks.
func (a *Archive) markAll(ctx context.Context) error {
	for {
		var rest int
		if err := a.db.Reader.QueryRowContext(ctx, `SELECT count(*) FROM unmarked`).Scan(&rest); err != nil || rest == 0 {
			return err
		}
		if err := a.db.Tx(ctx, func(tx *sql.Tx) error { return markPage(ctx, tx) }); err != nil {
			return fmt.Errorf("prepare the search: %w", err)
		}
	}
}

func markPage(ctx context.Context, tx *sql.Tx) error {
	var last place
	err := tx.QueryRowContext(ctx, `SELECT tenant, start_ms, recording_key FROM unmarked`).Scan(&last.Tenant, &last.Start, &last.Key)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // another process was there first
	}
	if err != nil {
		return err
	}
	page, err := queryEntries(ctx, tx, unmarkedPage, last.Tenant, last.Start, last.Key, pageRecordings)
	if err != nil {
		return err
	}
	for _, entry := range page {
		r := &entry.Recording
		call, err := findCall(ctx, tx, r)
		if err != nil {
			return err
		}
		if err := markRow(ctx, tx, nil, entry, call, nil); err != nil {
			return err
		}
		last = place{Start: r.StartTime, Key: r.RecordingKey, Tenant: r.TenantName}
	}
	if len(page) < pageRecordings {
		_, err = tx.ExecContext(ctx, `DELETE FROM unmarked`)
	} else {
		_, err = tx.ExecContext(ctx, `UPDATE unmarked SET tenant = $1, start_ms = $2, recording_key = $3`, last.Tenant, last.Start, last.Key)
	}
	return err
}
