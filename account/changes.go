package account

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// settings lists the fields of a new account's or tenant's JSON that are not zero, for
// the detail of an audit entry: `can: ["read"]; enabled: true`.
func settings(value any) string {
	list := fields(value)
	maps.DeleteFunc(list, func(_ string, text json.RawMessage) bool {
		return slices.Contains([]string{"null", "false", "0", `""`}, string(text))
	})
	var words []string
	for _, name := range slices.Sorted(maps.Keys(list)) {
		words = append(words, name+": "+string(list[name]))
	}
	return strings.Join(words, "; ")
}

// changes lists the fields in which the JSON of two versions of a thing differs:
// `agents: 25 → 30; title: "" → "Acme"`.
func changes(before, after any) string {
	old, now := fields(before), fields(after)
	var words []string
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if !bytes.Equal(old[name], now[name]) {
			words = append(words, name+": "+string(old[name])+" → "+string(now[name]))
		}
	}
	if words == nil {
		return "nothing"
	}
	return strings.Join(words, "; ")
}

// fields returns the fields of a thing's JSON without its name and times, which an
// audit entry has anyway.
func fields(value any) map[string]json.RawMessage {
	var list map[string]json.RawMessage
	if err := json.Unmarshal([]byte(encode(value)), &list); err != nil {
		panic(err) // our own structs are objects
	}
	for _, name := range []string{"name", "tenant", "createdAt", "refreshedAt", "lastUsedAt"} {
		delete(list, name)
	}
	return list
}
