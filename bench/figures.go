//go:build linux

package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// median returns the median of the values, or the upper of the two middle ones.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// ratios divides one server's figures by another's, round by round: whatever disturbs
// the machine during a round disturbs both.
func ratios(of, to []float64) []float64 {
	out := make([]float64, len(of))
	for i := range of {
		out[i] = of[i] / to[i]
	}
	return out
}

// table prints rows in columns under a title. Without a title, it continues the table
// before.
func table(title string, rows ...[]string) {
	fmt.Println()
	if title != "" {
		fmt.Println(title)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, "  "+strings.Join(row, "\t"))
	}
	w.Flush()
}

var targetHeader = []string{"figure", "reached", "spread", "target", ""}

// atLeast returns the row of a figure that should not be below its target.
func atLeast(figure string, values []float64, target float64, unit string) []string {
	verdict := "missed"
	if median(values) >= target {
		verdict = "reached"
	}
	return figureRow(figure, values, unit, "≥ "+show(target)+unit, verdict)
}

// below returns the row of a figure that should stay below its target.
func below(figure string, values []float64, target float64, unit string) []string {
	verdict := "missed"
	if median(values) < target {
		verdict = "reached"
	}
	return figureRow(figure, values, unit, "< "+show(target)+unit, verdict)
}

// reference returns the row of a figure that is only there for comparison.
func reference(figure string, values []float64, unit string) []string {
	return figureRow(figure, values, unit, "", "")
}

func figureRow(figure string, values []float64, unit, target, verdict string) []string {
	spread := show(slices.Min(values)) + " – " + show(slices.Max(values))
	return []string{figure, show(median(values)) + unit, spread, target, verdict}
}

// show writes a number with three significant digits, or with all digits before the
// decimal point if there are more.
func show(value float64) string {
	switch {
	case value >= 100:
		return fmt.Sprintf("%.0f", value)
	case value >= 10:
		return fmt.Sprintf("%.1f", value)
	}
	return fmt.Sprintf("%.2f", value)
}
