package database

import (
	"iter"
	"slices"
	"strconv"
)

// rowCounts is how many rows one statement has: few numbers, so that few statements
// are prepared for however many rows; and no large one, for SQLite copies each page
// that a statement of many rows changes, so that it can take the statement back.
var rowCounts = []int{32, 4, 1}

// Rows yields VALUES clauses, of numbered parameters, that hold all rows together,
// each with its arguments. Both databases call the columns column1 and so on.
func Rows(all [][]any) iter.Seq2[string, []any] {
	return func(yield func(string, []any) bool) {
		for _, n := range rowCounts {
			for ; len(all) >= n; all = all[n:] {
				if !yield(values(all[:n]), slices.Concat(all[:n]...)) {
					return
				}
			}
		}
	}
}

func values(rows [][]any) string {
	clause := []byte("VALUES ")
	n := 0
	for i, row := range rows {
		if i > 0 {
			clause = append(clause, ", "...)
		}
		for j := range row {
			clause = append(clause, "(,"[min(j, 1)], '$')
			n++
			clause = strconv.AppendInt(clause, int64(n), 10)
		}
		clause = append(clause, ')')
	}
	return string(clause)
}
