// Package sample generates a month of call recordings to look at and listen to where
// there are none yet: three imaginary tenants, some 300 recordings, and their
// audio, two synthetic voices in each of 20 short dialogues (make-speech.sh).
//
// It is for demonstrations and for tests that want lifelike rows. It is not for
// measuring: many recordings share the same audio. It stores nothing.
//
// It promises the same month for the same day, byte for byte; rows in which
// keys, times, durations and sizes agree with each other and with the audio;
// and nobody real: the people, sites and 555-01xx numbers are made up.
package sample

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"callvault"
)

// days is the length of the sample month.
const days = 30

// Tenants returns the three sample sites, in the order of their names.
func Tenants() []callvault.Tenant {
	var tenants []callvault.Tenant
	for _, s := range sites {
		agents := int64(len(s.agents))
		tenants = append(tenants, callvault.Tenant{
			Name: s.name, Title: s.title, TimeZone: s.zone, Agents: &agents, RequestLimit: true,
		})
	}
	return tenants
}

// Item is one recording with its call, whose Recordings are left empty, and its
// audio as Ogg Opus (RFC 7845), which is nil if the recording's status has no audio.
// Items share audio: callers must not change it.
type Item struct {
	Recording callvault.Recording
	Call      callvault.Call
	Audio     []byte
}

// Month yields the recordings of the 30 days before the UTC day of end, ascending
// by (StartTime, RecordingKey). A day's calls are the same in every month that
// contains the day. Their status is not: of each month the first recording is
// DELETED_TIME, the next two are PENDING_DELETE_TIME, the fourth from the end is
// PENDING, and the others are SAVED. So the newest, which people try first, can be
// played.
func Month(end time.Time) iter.Seq[Item] {
	return func(yield func(Item) bool) {
		for _, item := range month(end) {
			if !yield(item) {
				return
			}
		}
	}
}

func month(end time.Time) []Item {
	last := end.UTC().Truncate(24 * time.Hour)
	first := last.AddDate(0, 0, -days)
	span := callvault.Span{From: first.UnixMilli(), To: last.UnixMilli()}
	var items []Item
	for i := range sites {
		// The local day before the first, and the last local day, overlap the span.
		for date := first.AddDate(0, 0, -1); !date.After(last); date = date.AddDate(0, 0, 1) {
			for _, item := range sites[i].day(date) {
				if span.Contains(item.Call.StartTime) && span.Contains(item.Call.EndTime) {
					items = append(items, item)
				}
			}
		}
	}
	slices.SortFunc(items, func(a, b Item) int {
		return cmp.Or(
			cmp.Compare(a.Recording.StartTime, b.Recording.StartTime),
			cmp.Compare(a.Recording.RecordingKey, b.Recording.RecordingKey))
	})
	items[0].become(callvault.DeletedTime)
	items[1].become(callvault.PendingDeleteTime)
	items[2].become(callvault.PendingDeleteTime)
	items[len(items)-4].become(callvault.Pending)
	return items
}

// become gives the recording another status, and drops its audio if that status has
// none.
func (item *Item) become(status callvault.Status) {
	item.Recording.Status = status
	if !status.HasAudio() {
		item.Audio, item.Recording.Size = nil, 0
	}
}
