package account

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// changes tells in which fields of their JSON two values of one type differ, as
// the audit trail's details do: "agents: 25 → 30; can: ["read"] → ["admin"]".
func changes(before, after any) string {
	old, now := fields(before), fields(after)
	var list []string
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if !bytes.Equal(old[name], now[name]) {
			list = append(list, name+": "+string(old[name])+" → "+string(now[name]))
		}
	}
	if list == nil {
		return "nothing"
	}
	return strings.Join(list, "; ")
}

// fields are the fields of a value's JSON.
func fields(value any) map[string]json.RawMessage {
	var list map[string]json.RawMessage
	if err := json.Unmarshal([]byte(encode(value)), &list); err != nil {
		panic(err) // our own structs are objects
	}
	return list
}
