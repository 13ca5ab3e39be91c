package ingest

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"callvault"
)

// named is what a file's name tells of its recording.
type named struct {
	start     time.Time // zero when the name does not tell
	direction string
	calling   string
	receiving string
	agent     string
	skill     string
}

// The forms in which Asterisk's MixMonitor is usually told to name its files,
// FreePBX's first: what kind of call, who was called, who called, local date and
// time, the channel's unique id, which begins with its start in Unix seconds.
var (
	freePBXName = regexp.MustCompile(`^(in|out|exten|internal|external|q|rg|force|generic|conf|page)-(.*)-([^-]*)-(\d{8})-(\d{6})-(.+)$`)
	datedName   = regexp.MustCompile(`^(\d{8})-(\d{6})(?:-(.*))?$`)
	uniqueID    = regexp.MustCompile(`(?:^|-)(\d{9,11})\.\d+$`)
)

// longestExtension is how many digits an extension inside a PBX has at most;
// numbers that are longer are outside it.
const longestExtension = 6

// parseName reads a file's name without its ending. zone is the PBX's own; nil
// when it is not known, and then the unique id says when the call began.
func parseName(name string, zone *time.Location) named {
	if m := freePBXName.FindStringSubmatch(name); m != nil {
		n := parties(m[1], m[2], m[3])
		n.start = startOf(m[4]+m[5], m[6], zone)
		return n
	}
	if m := datedName.FindStringSubmatch(name); m != nil {
		n := named{start: startOf(m[1]+m[2], m[3], zone)}
		rest := strings.TrimSuffix(uniqueID.ReplaceAllString(m[3], ""), "-")
		if caller, called, both := strings.Cut(rest, "-"); both {
			n.calling, n.receiving = caller, called
			n.direction = directionOf(caller, called)
		}
		return n
	}
	if seconds, ok := idSeconds(name); ok {
		return named{start: time.Unix(seconds, 0)}
	}
	return named{}
}

// parties says who is who in a kind of call.
func parties(kind, called, caller string) named {
	n := named{calling: caller, receiving: called}
	switch kind {
	case "in":
		n.direction = "INBOUND"
	case "out":
		n.direction, n.agent = "OUTBOUND", caller
	case "q", "rg":
		n.direction, n.skill = "INBOUND", called
	case "conf", "page":
		n.direction = directionOf(caller, called)
	default:
		if n.direction = directionOf(caller, called); n.direction == "OUTBOUND" {
			n.agent = caller
		} else if len(called) <= longestExtension {
			n.agent = called
		}
	}
	return n
}

// directionOf tells a call's direction by which of its parties is an extension.
func directionOf(caller, called string) string {
	switch {
	case len(caller) > longestExtension:
		return "INBOUND"
	case len(called) > longestExtension:
		return "OUTBOUND"
	}
	return "INTERNAL"
}

// startOf is the start of a recording by the local time in its name and the
// unique id of its channel.
func startOf(local, id string, zone *time.Location) time.Time {
	seconds, known := idSeconds(id)
	if zone == nil && known {
		return time.Unix(seconds, 0)
	}
	if zone == nil {
		zone = time.UTC
	}
	const form = "20060102150405"
	start, err := time.ParseInLocation(form, local, zone)
	if err != nil {
		return time.Time{}
	}
	// In the hour that a clock set back repeats, the unique id tells which it is:
	// no recording begins before its channel.
	for _, shift := range []time.Duration{-time.Hour, 0, time.Hour} {
		other := start.Add(shift)
		if known && other.Format(form) == local && other.Unix() >= seconds-clocksApart {
			return other
		}
	}
	return start
}

// clocksApart is how many seconds the local time in a name and the unique id may
// disagree by.
const clocksApart = 60

func idSeconds(id string) (int64, bool) {
	m := uniqueID.FindStringSubmatch(id)
	if m == nil {
		return 0, false
	}
	seconds, err := strconv.ParseInt(m[1], 10, 64)
	return seconds, err == nil && seconds > 0
}

// recording is what the name tells, in a recording's form.
func (n *named) recording() callvault.Recording {
	r := callvault.Recording{
		CallDirection: n.direction, CallingParty: n.calling, ReceivingParty: n.receiving,
		Agent: n.agent, Skill: n.skill,
	}
	if ms := n.start.UnixMilli(); ms > 0 {
		r.StartTime = ms
	}
	return r
}
