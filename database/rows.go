package database

import (
	"iter"
	"slices"
	"strconv"
)

// rowCounts are the numbers of rows that one statement may have. There are few of them,
// so that few statements are prepared; and they are small, because SQLite copies each
// page that a statement of many rows changes, in order to be able to undo it.
var rowCounts = []int{16, 4, 1}

// Rows yields VALUES clauses with numbered parameters, each with its arguments, that
// together hold all rows. Both databases call the columns column1, column2 and so on.
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
