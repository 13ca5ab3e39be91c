package collect_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"callvault"
	"callvault/collect"
)

// TestOrder: what is about to be deleted comes first, wherever in the lists it stands, then
// the newest; the order also holds where many requests run side by side.
func TestOrder(t *testing.T) {
	for _, pace := range []time.Duration{collect.DefaultPace, 50 * time.Millisecond} {
		t.Run(pace.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSource()
				s.unlimited = true
				for i := range 10 {
					s.add("acme-ns", fmt.Sprintf("r%d", i), ago(time.Duration(6*i+1)*time.Hour))
				}
				for _, i := range []int{4, 8} {
					s.recordings[i].Status = callvault.PendingDeleteSpace
				}
				var asked []string
				v, source := newVault(t, tempDir(t)), from(t, watched{s, func(path string) {
					if strings.HasSuffix(path, "/audio") {
						asked = append(asked, strings.Split(path, "/")[6])
					}
				}})
				source.Pace, source.OwnServer = pace, pace < collect.MinPace
				complete(t, v.run(t, source))
				if want := []string{"r4", "r8", "r0", "r1", "r2", "r3", "r5", "r6", "r7", "r9"}; !slices.Equal(asked, want) {
					t.Errorf("asked for %v, want %v", asked, want)
				}
			})
		})
	}
}

// TestListsAreNotAwaitedForEver: while the lists of a long history are still coming,
// recordings are fetched.
func TestListsAreNotAwaitedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		fill(s, "acme-ns", 3)
		v, source := newVault(t, tempDir(t)), from(t, s)
		source.Since = ago(1000 * 24 * time.Hour).UnixMilli()
		stopAfter(t, v, source, 14*time.Minute)
		if got := v.status(t, source, "acme-ns"); got.Held != 0 || got.Due != 3 {
			t.Errorf("before the lists were over: %+v", got)
		}
		stopAfter(t, v, source, 20*time.Minute) // lists and audio take turns as they come
		if got := v.status(t, source, "acme-ns"); got.Held != 3 {
			t.Errorf("%+v", got)
		}
		s.check(t)
	})
}

// TestListsGiveWay: when lists take longer than a run waits for them, and share the pace of
// the only tenant, no two of them come between two requests for its audio.
func TestListsGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		fill(s, "acme-ns", 100)
		audio, lists := 0, 0 // requests for audio; lists since the last of them
		v, source := newVault(t, tempDir(t)), from(t, watched{s, func(path string) {
			lists++
			if strings.HasSuffix(path, "/audio") {
				audio, lists = audio+1, 0
			}
			if audio > 0 && lists > 1 {
				t.Errorf("%d lists in a row after %d requests for audio", lists, audio)
			}
		}})
		source.Since = ago(900 * 24 * time.Hour).UnixMilli()
		stopAfter(t, v, source, 20*time.Minute)
		if audio < 40 {
			t.Errorf("%d requests for audio in 5 minutes", audio)
		}
		s.check(t)
	})
}

// TestListsDoNotGiveWayForLong: if the source wants to be left alone for a day while lists
// and audio share a pace, the run ends.
func TestListsDoNotGiveWayForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		fill(s, "acme-ns", 3)
		for _, r := range s.recordings {
			r.fault, r.times = "wait 429 86400", -1
		}
		v, source := newVault(t, tempDir(t)), from(t, watched{s, func(path string) {
			time.Sleep(time.Second) // an answer to a request for audio comes while a list does
			if strings.HasSuffix(path, "/audio") {
				time.Sleep(3 * time.Second)
			}
		}})
		source.Since = ago(900 * 24 * time.Hour).UnixMilli()
		began := time.Now()
		report := v.run(t, source)
		if took := time.Since(began); took > time.Hour || report.Result == collect.Complete {
			t.Errorf("the run took %v, and is %s", took, report.Result)
		}
	})
}

// TestProgressOfOwnServer: the progress of a run over the operator's own server can be read
// from the ledger during the run, however slow it is.
func TestProgressOfOwnServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		s.unlimited = true
		fill(s, "acme-ns", 20)
		v, source := newVault(t, tempDir(t)), from(t, s)
		source.OwnServer, source.Pace = true, 3*time.Second
		r, err := v.Start(t.Context(), source, collect.Always)
		if err != nil {
			t.Fatal(err)
		}
		var wait sync.WaitGroup
		wait.Go(func() {
			report, err := r.Wait(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			complete(t, report)
		})
		for r.Progress().Done < 10 {
			time.Sleep(time.Second)
		}
		if got := v.status(t, source, "acme-ns"); got.Held < 9 || got.Due > 11 {
			t.Errorf("when 10 are held the ledger has %d, and %d due", got.Held, got.Due)
		}
		wait.Wait()
	})
}
