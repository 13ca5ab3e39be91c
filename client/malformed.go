package client

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// MalformedItem is one item of a list that cannot be used, as the error that is
// yielded in its place. The list goes on behind it.
type MalformedItem struct {
	// Index is the item's place in the list, from 0; for a recording of a call,
	// the call's.
	Index int64
	// CallKey is the call in which a malformed recording stands, where that has one.
	CallKey string
	// Raw is the JSON as it came: its first 64 KiB, and then not valid JSON.
	Raw []byte
	// Size is how long it is, in bytes.
	Size int64
	// Err says what is wrong.
	Err error
	// Recordings are those of a malformed call that are not malformed themselves.
	Recordings []Item
}

// MalformedOf finds the malformed item that err is about. ok is false for nil
// and for an error that ended its list.
func MalformedOf(err error) (m *MalformedItem, ok bool) {
	ok = errors.As(err, &m)
	return m, ok
}

// Error says which item is malformed, and why.
func (m *MalformedItem) Error() string {
	of := ""
	if m.CallKey != "" {
		of = " of call " + excerpt([]byte(m.CallKey))
	}
	return fmt.Sprintf("item %d%s of the list is malformed: %v; report it to who runs the source", m.Index, of, m.Err)
}

// Unwrap is Err.
func (m *MalformedItem) Unwrap() error { return m.Err }

func newMalformed(p rawValue, err error) *MalformedItem {
	return &MalformedItem{Raw: bytes.Clone(p.raw[:min(len(p.raw), maxRaw)]), Size: p.size, Err: err}
}

// locate says where in the list the item stood, and takes the key out of it.
func (c *Client) locate(m *MalformedItem, index int64) error {
	m.Index = index
	m.Raw = slices.Clip(c.WithoutKey(m.Raw))
	if text := m.Err.Error(); c.containsKey(text) {
		m.Err = errors.New(c.scrub(text))
	}
	return m
}
