package archive

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"math/bits"
	"slices"

	"callvault"
	"callvault/database"
)

// The kinds of marks. A party is somebody in a call other than its agent. The shape
// is the direction and the length class, which are searched for together and have
// few values.
const (
	kindAgent = "agent"
	kindParty = "party"
	kindSkill = "skill"
	kindTag   = "tag"
	kindShape = "shape"
)

// mark is a value by which recordings are found. Its id is the hash of the rest.
type mark struct {
	id                  int64
	tenant, kind, value string
}

func newMark(tenant, kind, value string) mark {
	m := mark{tenant: tenant, kind: kind, value: cut(keepable(value), maxValueBytes)}
	sum := fnv.New64a()
	for _, part := range []string{tenant, kind, m.value} {
		sum.Write([]byte(part))
		sum.Write([]byte{0})
	}
	m.id = int64(sum.Sum64())
	return m
}

// marksOf returns the marks of a recording in a call from caller.
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

// lengthClass returns two digits that grow with a length given in milliseconds: the
// number of bits of its seconds.
func lengthClass(ms int64) string { return fmt.Sprintf("%02d", bits.Len64(uint64(ms/1000))) }

// searchWords returns the words by which a mark is found. A number is among them
// backwards, after "#", so that its last digits are a prefix.
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

// marking collects the marks of the rows that one transaction writes, so that few
// statements insert them.
type marking struct {
	list []mark
	rows []place // list[i] belongs to the recording at rows[i]
}

// row deletes the marks that a row has lost, and collects those that it has gained.
func (m *marking) row(ctx context.Context, tx *sql.Tx, change rowChange) error {
	is := marksOf(&change.entry.Recording, change.now.caller())
	if change.earlier != nil {
		was := change.formerMarks()
		if change.earlier.Recording.StartTime == change.entry.Recording.StartTime {
			kept := slices.DeleteFunc(slices.Clone(was), func(one mark) bool { return !slices.Contains(is, one) })
			same := func(one mark) bool { return slices.Contains(kept, one) }
			is, was = slices.DeleteFunc(is, same), slices.DeleteFunc(was, same)
		}
		if err := deleteMarks(ctx, tx, &change.earlier.Recording, was); err != nil {
			return err
		}
	}
	r := &change.entry.Recording
	for _, one := range is {
		m.list, m.rows = append(m.list, one), append(m.rows, place{r.StartTime, r.RecordingKey, r.TenantName})
	}
	return nil
}

// rowChange is a row that replaced an earlier one, if there was one; now is the row's
// call, and before is the same call as it was known until now.
type rowChange struct {
	earlier, entry *Entry
	now, before    *callRow
}

// formerMarks returns the marks of the earlier row, as far as they are known: that of
// another call's caller is not, and stays as one mark too many.
func (c *rowChange) formerMarks() []mark {
	caller := c.before.caller()
	if c.earlier.Recording.CallKey != c.entry.Recording.CallKey {
		caller = "" // before is another call
	}
	return marksOf(&c.earlier.Recording, caller)
}

// write inserts the marks that were collected.
func (m *marking) write(ctx context.Context, tx *sql.Tx) error {
	var distinct []mark
	seen := map[int64]bool{}
	for _, one := range m.list {
		if !seen[one.id] {
			seen[one.id] = true
			distinct = append(distinct, one)
		}
	}
	if err := nameMarks(ctx, tx, distinct); err != nil {
		return err
	}
	var all [][]any
	for i := range m.list {
		all = append(all, []any{m.list[i].id, m.rows[i].Start, m.rows[i].Key, m.rows[i].Tenant})
	}
	if err := insertAll(ctx, tx, "marks (mark, start_ms, recording_key, tenant)", all); err != nil {
		return fmt.Errorf("marks: %w", err)
	}
	*m = marking{}
	return nil
}

// insertAll inserts those rows that are not there yet.
func insertAll(ctx context.Context, tx *sql.Tx, into string, all [][]any) error {
	for values, args := range database.Rows(all) {
		if _, err := tx.ExecContext(ctx, "INSERT INTO "+into+" "+values+" ON CONFLICT DO NOTHING", args...); err != nil {
			return err
		}
	}
	return nil
}

// caller returns the call's caller, or "" when there is no call.
func (row *callRow) caller() string {
	if row == nil {
		return ""
	}
	return row.call.CallerID
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

// nameMarks stores the values and words of those marks that are new. The list must
// contain each mark once.
func nameMarks(ctx context.Context, tx *sql.Tx, list []mark) error {
	var all, words [][]any
	byID := map[int64]*mark{}
	for i := range list {
		m := &list[i]
		byID[m.id] = m
		all = append(all, []any{m.id, m.tenant, m.kind, m.value})
	}
	for values, args := range database.Rows(all) {
		added, err := queryIDs(ctx, tx, `INSERT INTO marked_values (mark, tenant, kind, value) `+values+` ON CONFLICT DO NOTHING RETURNING mark`, args...)
		if err != nil {
			return fmt.Errorf("values: %w", err)
		}
		for _, id := range added {
			m := byID[id]
			for _, word := range m.searchWords() {
				words = append(words, []any{m.kind, m.tenant, word, m.id})
			}
		}
	}
	if err := insertAll(ctx, tx, "marked_words (kind, tenant, word, mark)", words); err != nil {
		return fmt.Errorf("words: %w", err)
	}
	return nil
}

func queryIDs(ctx context.Context, tx *sql.Tx, query string, args ...any) (ids []int64, err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// markCall gives all recordings of a call the mark of its caller.
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

// markAll marks the recordings that were kept before marks existed.
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
	page, err := queryEntries(ctx, tx, unmarkedPage, last.Tenant, last.Start, last.Key, pageEntries)
	if err != nil {
		return err
	}
	b, err := readBatch(ctx, tx, page, recordingOfEntry)
	if err != nil {
		return err
	}
	for _, entry := range page {
		r := &entry.Recording
		call, err := b.call(ctx, r)
		if err != nil {
			return err
		}
		if err := b.marks.row(ctx, tx, rowChange{entry: entry, now: call}); err != nil {
			return err
		}
		last = place{Start: r.StartTime, Key: r.RecordingKey, Tenant: r.TenantName}
	}
	if err := b.end(ctx); err != nil {
		return err
	}
	if len(page) < pageEntries {
		_, err = tx.ExecContext(ctx, `DELETE FROM unmarked`)
	} else {
		_, err = tx.ExecContext(ctx, `UPDATE unmarked SET tenant = $1, start_ms = $2, recording_key = $3`, last.Tenant, last.Start, last.Key)
	}
	return err
}
