package database_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"callvault/database"
)

// Those who come while others are asked for are asked for together, each once, and
// not by more at once than may.
func TestTogether(t *testing.T) {
	var mu sync.Mutex
	var groups [][]int
	held, released := make(chan int, 1000), make(chan struct{})
	all := database.NewTogether(func(_ context.Context, group []int) {
		held <- len(group)
		<-released
		mu.Lock()
		defer mu.Unlock()
		groups = append(groups, slices.Clone(group))
	})
	const first, rest = 2, 300
	var wait sync.WaitGroup
	ask := func(i int) { wait.Go(func() { all.Ask(t.Context(), i) }) }
	for i := range first {
		ask(i)
		<-held // alone: nobody waits for company
	}
	for i := range rest {
		ask(first + i)
	}
	for all.Waiting() < rest && len(held) == 0 {
		time.Sleep(time.Millisecond)
	}
	select {
	case n := <-held:
		t.Errorf("a third group, of %d, is asked for beside two", n)
	default:
	}
	close(released)
	wait.Wait()
	var asked []int
	for _, group := range groups {
		asked = append(asked, group...)
	}
	slices.Sort(asked)
	want := make([]int, first+rest)
	for i := range want {
		want[i] = i
	}
	if !slices.Equal(asked, want) {
		t.Errorf("asked %v", asked)
	}
	if len(groups) > first+3+1 { // 300 in three, and one more where the third took few
		t.Errorf("%d groups for %d", len(groups), len(want))
	}
}

// What goes wrong with one group leaves the way free for the next.
func TestTogetherOutlivesAPanic(t *testing.T) {
	all := database.NewTogether(func(_ context.Context, group []string) {
		if group[0] == "bad" {
			panic("bad")
		}
	})
	for range 10 {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("who asked is not told")
				}
			}()
			all.Ask(t.Context(), "bad")
		}()
	}
	all.Ask(t.Context(), "good")
}
