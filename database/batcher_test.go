package database_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"callvault/database"
)

// Requests that arrive while others are being served are served in groups, each request
// once, and by no more callers at once than allowed.
func TestBatcher(t *testing.T) {
	var mu sync.Mutex
	var groups [][]int
	held, released := make(chan int, 1000), make(chan struct{})
	all := database.NewBatcher(func(_ context.Context, group []int) {
		held <- len(group)
		<-released
		mu.Lock()
		defer mu.Unlock()
		groups = append(groups, slices.Clone(group))
	})
	const first, rest = 2, 300
	var wait sync.WaitGroup
	ask := func(i int) { wait.Go(func() { all.Do(t.Context(), i) }) }
	for i := range first {
		ask(i)
		<-held // alone: no request waits for others
	}
	for i := range rest {
		ask(first + i)
	}
	for all.Waiting() < rest && len(held) == 0 {
		time.Sleep(time.Millisecond)
	}
	select {
	case n := <-held:
		t.Errorf("a third group, of %d, is served beside two", n)
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
		t.Errorf("served %v", asked)
	}
	if len(groups) > first+3+1 { // 300 in three, and one more where the third took few
		t.Errorf("%d groups for %d", len(groups), len(want))
	}
}

// A panic in one group does not block the next.
func TestBatcherOutlivesAPanic(t *testing.T) {
	all := database.NewBatcher(func(_ context.Context, group []string) {
		if group[0] == "bad" {
			panic("bad")
		}
	})
	for range 10 {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the caller did not panic")
				}
			}()
			all.Do(t.Context(), "bad")
		}()
	}
	all.Do(t.Context(), "good")
}
