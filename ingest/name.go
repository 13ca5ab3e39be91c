package ingest

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"callvault"
)

// named is what a file's name says about its recording.
type named struct {
	start     time.Time // zero if the name does not say
	direction string
	calling   string
	receiving string
	agent     string
	skill     string
}

// The usual forms of names of Asterisk's MixMonitor files. FreePBX's are first: the kind
// of call, who was called, who called, local date and time, and the channel's unique id,
// which begins with the channel's start in Unix seconds.
var (
	freePBXName = regexp.MustCompile(`^(in|out|exten|internal|external|q|rg|force|generic|conf|page)-(.*)-([^-]*)-(\d{8})-(\d{6})-(.+)$`)
	datedName   = regexp.MustCompile(`^(\d{8})-(\d{6})(?:-(.*))?$`)
	uniqueID    = regexp.MustCompile(`(?:^|-)(\d{9,11})\.\d+$`)
)

// longestExtension is the maximum number of digits of an extension inside a PBX. Longer
// numbers are outside it.
const longestExtension = 6

// parseName parses a file's name without its extension. zone is the time zone of the
// PBX. If it is nil, the zone is unknown, and the unique id says when the call began.
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

// parties returns who is who in a kind of call.
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

// directionOf returns a call's direction, by which of its parties is an extension.
func directionOf(caller, called string) string {
	switch {
	case len(caller) > longestExtension:
		return "INBOUND"
	case len(called) > longestExtension:
		return "OUTBOUND"
	}
	return "INTERNAL"
}

// startOf returns the start of a recording from the local time in its name and the
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
	// When clocks are set back an hour occurs twice. The unique id says which one is
	// meant: a recording does not begin before its channel.
	for _, shift := range []time.Duration{-time.Hour, 0, time.Hour} {
		other := start.Add(shift)
		if known && other.Format(form) == local && other.Unix() >= seconds-clocksApart {
			return other
		}
	}
	return start
}

// clocksApart is by how many seconds the local time in a name and the unique id may
// disagree.
const clocksApart = 60

func idSeconds(id string) (int64, bool) {
	m := uniqueID.FindStringSubmatch(id)
	if m == nil {
		return 0, false
	}
	seconds, err := strconv.ParseInt(m[1], 10, 64)
	return seconds, err == nil && seconds > 0
}

// recording returns what the name says as a recording.
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
