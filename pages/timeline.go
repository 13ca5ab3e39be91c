package pages

import (
	"fmt"
	"strconv"

	"callvault"
)

// timeline is a picture of a call's recordings along the time of the call. Its width is
// 100 %, its heights are in pixels.
type timeline struct {
	Bars   []bar
	Ticks  []tick
	Height int // in all
	Foot   int // the y position of the times
}

// bar is one recording. From and Wide are in percent, Top in pixels.
type bar struct {
	*callvault.Recording
	Path       string
	From, Wide string
	Top        int
	Here       bool // the page is about this recording
	Number     int
	After      int64 // milliseconds after the start of the call
}

// tick is a time on the scale: At in percent, Ms after the start of the call.
type tick struct {
	At     string
	Ms     int64
	Anchor string
}

const (
	laneHeight = 32 // pixels
	barHeight  = 26
	footHeight = 22
	mostTicks  = 6
)

// newTimeline lays out the recordings of a call. Those that overlap are placed one above
// the other.
func newTimeline(call *callvault.Call, here string) timeline {
	span := callvault.Span{From: call.StartTime, To: call.EndTime}
	for i := range call.Recordings {
		r := &call.Recordings[i]
		span.From, span.To = min(span.From, r.StartTime), max(span.To, r.StartTime+r.Duration)
	}
	whole := float64(max(span.To-span.From, 1))
	line := timeline{}
	var lanes []int64 // when the last recording in each lane ends
	for i := range call.Recordings {
		r := &call.Recordings[i]
		lane := 0
		for lane < len(lanes) && lanes[lane] > r.StartTime {
			lane++
		}
		if lane == len(lanes) {
			lanes = append(lanes, 0)
		}
		lanes[lane] = r.StartTime + r.Duration
		line.Bars = append(line.Bars, bar{
			Recording: r, Path: recordingPath(r), Here: r.RecordingKey == here, Number: i + 1, Top: lane * laneHeight,
			From: percent(float64(r.StartTime-span.From) / whole), Wide: percent(max(float64(r.Duration)/whole, 0.006)),
			After: r.StartTime - span.From,
		})
	}
	line.Foot = len(lanes)*laneHeight + footHeight - 6
	line.Height = len(lanes)*laneHeight + footHeight
	line.Ticks = newTicks(span.To - span.From)
	return line
}

func percent(part float64) string { return strconv.FormatFloat(part*100, 'f', 3, 64) + "%" }

// tickSteps are the possible distances between ticks, in seconds.
var tickSteps = []int64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400}

func newTicks(lengthMs int64) []tick {
	step := tickSteps[len(tickSteps)-1] * 1000
	for _, s := range tickSteps {
		if lengthMs/(s*1000) < mostTicks {
			step = s * 1000
			break
		}
	}
	var ticks []tick
	for ms := int64(0); ms <= lengthMs && len(ticks) <= mostTicks; ms += step {
		t := tick{At: percent(float64(ms) / float64(max(lengthMs, 1))), Ms: ms, Anchor: "middle"}
		if ms == 0 {
			t.Anchor = "start"
		} else if lengthMs-ms < step/4 {
			t.Anchor = "end"
		}
		ticks = append(ticks, t)
	}
	return ticks
}

// Words describes the picture to those who do not see it.
func (l timeline) Words() string {
	if len(l.Bars) == 1 {
		return "This call has one recording."
	}
	return fmt.Sprintf("The %d recordings of this call on a time line.", len(l.Bars))
}
