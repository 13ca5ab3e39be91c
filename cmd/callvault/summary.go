package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"callvault/collect"
)

// A summary fits on one screen: it has at most so many lines for tenants that lack
// something, and for what they lack.
const (
	summaryTenants  = 8
	summaryProblems = 12
)

// printReport prints the result of a run: what is missing, and why.
func printReport(out io.Writer, r *collect.Report) {
	took := time.Duration(r.EndedAt-r.StartedAt) * time.Millisecond
	fmt.Fprintf(out, "%s: %s; %d recordings fetched, %s, of %d tenants in %v\n", r.Source, r.Result, r.Held, byteCount(r.Bytes), len(r.Tenants), took.Round(time.Second))
	if r.Error != "" {
		fmt.Fprintf(out, "  the source was left: %s\n", forPeople(errors.New(r.Error)))
	}
	if r.Stopped && r.Error == "" {
		fmt.Fprintln(out, "  the run was stopped before it was done; the next one goes on")
	}
	lack := slices.DeleteFunc(slices.Clone(r.Tenants), func(t collect.TenantReport) bool { return t.Lacking == 0 && t.ClosedUntil == nil })
	slices.SortStableFunc(lack, func(a, b collect.TenantReport) int { return cmp.Compare(b.Lacking, a.Lacking) })
	for i, t := range lack {
		if i == summaryTenants {
			fmt.Fprintf(out, "  and %d more tenants; callvault status names all\n", len(lack)-i)
			break
		}
		fmt.Fprintf(out, "  %s: %s\n", t.Tenant, lackLine(&t))
	}
	problems := interleave(r.Problems)
	for i, p := range problems {
		if i == summaryProblems {
			fmt.Fprintf(out, "  and %d more; callvault status --days names all\n", len(r.Problems)-i)
			break
		}
		fmt.Fprintln(out, "  "+problemLine(p))
	}
}

// problemLine says what the problem concerns, and what it is.
func problemLine(p collect.Problem) string {
	reason := forPeople(errors.New(p.Reason))
	if concerns := strings.TrimSpace(p.Tenant + " " + p.Key); concerns != "" {
		return concerns + ": " + reason
	}
	return reason
}

// lackLine says how much a tenant lacks, and until when its egress limit keeps it closed.
func lackLine(t *collect.TenantReport) string {
	text := fmt.Sprintf("%d recordings are missing", t.Lacking)
	if t.ClosedUntil != nil {
		text += ", closed for its egress limit until " + moment(*t.ClosedUntil)
	}
	return text
}

// interleave takes the problems of the tenants in turn, so that a tenant that lacks much
// does not hide what others lack. What concerns the whole source comes first.
func interleave(problems []collect.Problem) []collect.Problem {
	nth := map[string]int{}
	place := make(map[collect.Problem]int, len(problems))
	for _, p := range problems {
		if _, known := place[p]; !known && p.Tenant != "" {
			nth[p.Tenant]++
			place[p] = nth[p.Tenant]
		}
	}
	sorted := slices.Clone(problems)
	slices.SortStableFunc(sorted, func(a, b collect.Problem) int { return cmp.Compare(place[a], place[b]) })
	return sorted
}
