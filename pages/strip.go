package pages

import (
	"fmt"
	"html/template"
	"strings"

	"callvault/collect"
)

// look is how the state of a day is shown: a CSS class, a mark that does not depend on
// colour, and a word.
type look struct{ Class, Mark, Word string }

var looks = map[string]look{
	collect.DayComplete:   {"complete", "✓", "complete"},
	collect.DaySoFar:      {"sofar", "◐", "complete so far"},
	collect.DayIncomplete: {"incomplete", "!", "incomplete"},
	collect.DayUnknown:    {"unknown", "?", "unknown"},
}

// lookOf returns the look of a state. A state that is not in looks is shown as unknown.
func lookOf(state string) look {
	if l, ok := looks[state]; ok {
		return l
	}
	return looks[collect.DayUnknown]
}

// states are all states, in the order in which they are counted.
var states = []string{collect.DayComplete, collect.DaySoFar, collect.DayIncomplete, collect.DayUnknown}

// dayStrip is a picture of a row of days, the size of a word.
type dayStrip struct {
	Words string
	Paths []stripPath
}

// stripPath draws all days of one state, as a line of dashes, one for each day.
type stripPath struct{ Class, D string }

// stripOf draws days, the last one on the right.
func stripOf(days []collect.Day) dayStrip {
	s := dayStrip{Words: stripWords(days)}
	drawn := map[string]*strings.Builder{}
	offset := stripDays - len(days)
	for i := 0; i < len(days); {
		end := i
		for end < len(days) && days[end].State == days[i].State {
			end++
		}
		class := lookOf(days[i].State).Class
		if drawn[class] == nil {
			drawn[class] = &strings.Builder{}
		}
		fmt.Fprintf(drawn[class], "M%d 10h%d", (offset+i)*6, (end-i)*6)
		i = end
	}
	for _, state := range states {
		if class := lookOf(state).Class; drawn[class] != nil {
			s.Paths = append(s.Paths, stripPath{class, drawn[class].String()})
		}
	}
	return s
}

// tally is the number of days in one state.
type tally struct {
	look
	Days int
}

// tallies counts days by state and leaves out states that no day is in.
func tallies(days []collect.Day) (all []tally) {
	for _, state := range states {
		n := 0
		for i := range days {
			if days[i].State == state {
				n++
			}
		}
		if n > 0 {
			all = append(all, tally{lookOf(state), n})
		}
	}
	return all
}

// stripWords counts days by state in words and names the first incomplete ones.
func stripWords(days []collect.Day) string {
	if len(days) == 0 {
		return "no days yet"
	}
	var words []string
	for _, t := range tallies(days) {
		words = append(words, fmt.Sprintf("%d %s", t.Days, t.Word))
	}
	var bad []string
	for i := range days {
		if days[i].State == collect.DayIncomplete && len(bad) < 5 {
			bad = append(bad, days[i].Day)
		}
	}
	text := fmt.Sprintf("the last %d days: %s", len(days), strings.Join(words, ", "))
	if len(bad) > 0 {
		text += " (" + strings.Join(bad, ", ") + ")"
	}
	return text
}

// stateBadge writes a state as its mark and its word.
func stateBadge(state string) template.HTML {
	l := lookOf(state)
	return template.HTML(fmt.Sprintf(`<span class="state %s"><span aria-hidden="true">%s</span> %s</span>`, l.Class, l.Mark, l.Word))
}
