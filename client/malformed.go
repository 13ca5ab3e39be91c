package client

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// MalformedItem is an item of a list that cannot be used, as the error that is
// yielded in its place. The list goes on after it.
type MalformedItem struct {
	// Index is the item's place in the list, from 0; for a recording of a call,
	// the call's place.
	Index int64
	// CallKey is the key of the call that has the malformed recording, if any.
	CallKey string
	// Raw is the JSON as it came, cut off after 64 KiB.
	Raw []byte
	// Size is the item's whole size in bytes.
	Size int64
	// Err says what is wrong.
	Err error
	// Recordings are the recordings of a malformed call that are not malformed
	// themselves.
	Recordings []Item
}

// MalformedOf returns the malformed item that err is about. ok is false for nil
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
	return fmt.Sprintf("item %d%s of the list is malformed: %v; report it to the source's operator", m.Index, of, m.Err)
}

// Unwrap returns Err.
func (m *MalformedItem) Unwrap() error { return m.Err }

func newMalformed(p rawValue, err error) *MalformedItem {
	return &MalformedItem{Raw: bytes.Clone(p.raw[:min(len(p.raw), maxRaw)]), Size: p.size, Err: err}
}

// locate sets where in the list the item stood, and removes the key from it.
func (c *Client) locate(m *MalformedItem, index int64) error {
	m.Index = index
	cut := int64(len(m.Raw)) < m.Size
	m.Raw = c.WithoutKey(m.Raw)
	if cut {
		m.Raw = c.withoutCutKey(m.Raw)
	}
	m.Raw = slices.Clip(m.Raw)
	if text := m.Err.Error(); c.containsKey(text) {
		m.Err = errors.New(c.scrub(text))
	}
	return m
}
