package pages

import (
	"fmt"
	"html/template"
	"regexp"
	"strings"
	"time"
)

// wordFunctions are further functions that templates can call, for recordings.
var wordFunctions = template.FuncMap{
	"minute": func(ms int64, zone string) template.HTML { return timeElement(ms, zone, "minute", "2006-01-02 15:04") },
	"minuteIn": func(ms int64, zone string) template.HTML {
		return timeElement(ms, zone, "minuteIn", "2006-01-02 15:04 MST")
	},
	"clockText": clockText,
	"ending":    ending,
	"momentsIn": momentsIn,
}

// ending says in words how a call ended.
func ending(event string) string {
	switch strings.ToUpper(event) {
	case "DROP":
		return "hanging up"
	case "TRANSFER", "TRANSFERRED":
		return "a transfer"
	case "ABANDON", "ABANDONED":
		return "the caller giving up"
	}
	return event
}

// textPart is a piece of a note: a moment of the recording, or other text.
type textPart struct {
	Text string
	Link template.URL // "" for other text
}

var momentWord = regexp.MustCompile(`\b(?:\d{1,2}:[0-5]\d:[0-5]\d|\d{1,3}:[0-5]\d)\b`)

// momentsIn splits a note at the moments that it names, such as 1:23.
func momentsIn(text string) []textPart {
	var parts []textPart
	at := 0
	for _, found := range momentWord.FindAllStringIndex(text, -1) {
		if found[0] > at {
			parts = append(parts, textPart{Text: text[at:found[0]]})
		}
		moment := text[found[0]:found[1]]
		parts = append(parts, textPart{Text: moment, Link: template.URL("#t=" + moment)}) // only digits and colons
		at = found[1]
	}
	if at < len(text) {
		parts = append(parts, textPart{Text: text[at:]})
	}
	return parts
}

// clockText writes milliseconds as 1:23 or 1:02:03.
func clockText(ms int64) string {
	seconds := (ms + 500) / 1000
	if seconds >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
	}
	return fmt.Sprintf("%d:%02d", seconds/60, seconds%60)
}

// durationText writes a duration to the second, without parts that are zero: 10s,
// 2m30s, 3m, 1h5m.
func durationText(d time.Duration) string {
	text := d.Round(time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
