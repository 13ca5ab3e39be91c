//go:build unix

package main

import (
	"strings"
	"testing"
	"time"

	"callvault/collect"
)

// TestTenantLines: busy tenants come first, and those without room are counted.
func TestTenantLines(t *testing.T) {
	v := collect.RunProgress{Source: "acme", ListsLeft: 2, Done: 12, Due: 300, Bytes: 97_000, Left: 90 * time.Second, Later: 40, Tenants: []collect.TenantProgress{
		{Tenant: "a", State: "done", Done: 5},
		{Tenant: "b", State: "closed until 03:10Z", Due: 40},
		{Tenant: "c", State: "listing", Done: 1},
		{Tenant: "d", State: "waiting 12 s", Done: 6, Due: 260},
		{Tenant: "e", State: "fetching", Done: 1, Due: 3, Bytes: 1500},
	}}
	lines := tenantLines(v, 4)
	var got []string
	for _, line := range lines {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	want := "d 6/266 0 B waiting 12 s\ne 1/4 1.5 kB fetching\nc 1/1 0 B listing\na 5/5 0 B done\nand 1 more tenants"
	if strings.Join(got, "\n") != want {
		t.Errorf("the lines are\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
	const total = "acme: 12/312 recordings, 97.0 kB, 2 lists to ask for, about 1m30s left, 40 wait for egress limits"
	if got := totalLine(v); got != total {
		t.Errorf("the total is %q, want %q", got, total)
	}
}

// TestListing: when lists are halved there is more to do, not less done.
func TestListing(t *testing.T) {
	shown := listProgress{what: "plan"}
	defer shown.end()
	for _, left := range []int{0, 10, 9, 9, 11, 4} {
		shown.look(left)
	}
	if shown.bar.done != 8 || shown.bar.total != 12 || shown.bar.items != 8 {
		t.Errorf("%d and %d of %d are done", shown.bar.items, shown.bar.done, shown.bar.total)
	}
}
