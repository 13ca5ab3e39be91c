package pages

import (
	"fmt"
	"testing"
	"time"
)

// TestPlays: a play is noted exactly once, whatever the order in which its requests end.
func TestPlays(t *testing.T) {
	var p plays
	which, now := play{"session", "acme-ns", "one"}, time.Now()
	want := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	want("a request", p.begin(which, now), true)
	want("sends nothing", p.end(which, true, 0, now), int64(0))
	want("the next", p.begin(which, now), true)
	want("another at the same time", p.begin(which, now), false)
	want("which sends something", p.end(which, false, 7, now), int64(0))
	want("the first sends nothing", p.end(which, true, 0, now), int64(7))
	want("the play goes on", p.begin(which, now), false)
	want("and was noted", p.end(which, false, 9, now), int64(0))

	now = now.Add(playTime + time.Second)
	want("much later", p.begin(which, now), true)
	want("again another at the same time", p.begin(which, now), false)
	want("the first sends nothing", p.end(which, true, 0, now), int64(0))
	want("the other sends something after it", p.end(which, false, 5, now), int64(5))
	want("and a third", p.begin(which, now), false)
	want("is not noted", p.end(which, false, 5, now), int64(0))
	for range 2 { // together longer than playTime
		now = now.Add(playTime * 2 / 3)
		want("a play that goes on for long", p.begin(which, now), false)
	}

	p = plays{}
	for i := range maxPlays - 1 {
		p.begin(play{session: fmt.Sprint(i)}, now)
	}
	now = now.Add(playTime + time.Second)
	p.begin(which, now)
	p.begin(play{session: "one too many"}, now)
	want("if there are too many, those that are over are forgotten", p.begin(which, now), false)
	for i := range 2 * maxPlays {
		p.begin(play{session: fmt.Sprint(i)}, now)
	}
	if len(p.seen) > maxPlays {
		t.Errorf("%d plays are remembered", len(p.seen))
	}
}
