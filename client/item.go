package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"callvault"
)

// Item is a recording from a list. Its key, tenant and start are valid; otherwise
// it need not pass [callvault.Recording.Validate]: a source may leave its callKey
// or status empty, and its size or duration may be negative.
type Item struct {
	callvault.Recording
	// Raw is the recording's JSON as it came, including unknown fields; bytes that
	// are not UTF-8 are replaced by U+FFFD. The caller may keep it.
	Raw json.RawMessage
}

// CallItem is a call from a list. Its key, tenant and start are valid; otherwise
// it need not pass [callvault.Call.Validate]: a call in progress has no end.
type CallItem struct {
	// Call has the recordings that are not malformed, in the order they came.
	callvault.Call
	// Raw is the call's JSON as it came, like [Item.Raw], with its recordings,
	// malformed or not.
	Raw json.RawMessage
	// RawRecordings is the JSON of each of Call.Recordings, as parts of Raw.
	RawRecordings []json.RawMessage
}

// Items returns the call's recordings, each with its JSON.
func (c *CallItem) Items() []Item {
	items := make([]Item, len(c.Recordings))
	for i := range items {
		items[i] = Item{c.Recordings[i], c.RawRecordings[i]}
	}
	return items
}

// readItem reads a recording of a list.
func readItem(p rawValue) (Item, *MalformedItem) {
	raw, err := p.object()
	if err != nil {
		return Item{}, newMalformed(p, err)
	}
	item := Item{Raw: raw}
	if err := readRecording(raw, &item.Recording); err != nil {
		return Item{}, newMalformed(p, err)
	}
	return item, nil
}

// malformedParts is what is malformed of a call: some of its recordings, and the
// call itself unless that is nil.
type malformedParts struct {
	recordings []*MalformedItem
	call       *MalformedItem
}

// readCall reads a call of a list.
func readCall(p rawValue) (CallItem, malformedParts) {
	raw, err := p.object()
	if err != nil {
		return CallItem{}, malformedParts{call: newMalformed(p, err)}
	}
	var set malformedParts
	item := CallItem{Raw: raw}
	var recordings []byte
	err = fields(raw, func(name, value []byte) error {
		if string(name) == "recordings" {
			recordings = value
			return nil
		}
		return callField(&item.Call, name, value)
	})
	if err == errNotJSON {
		return CallItem{}, malformedParts{call: newMalformed(p, err)}
	}
	set.recordings = item.addRecordings(recordings)
	if err == nil {
		err = checkCall(&item.Call, recordings)
	}
	if err != nil {
		set.call = newMalformed(p, err)
		set.call.Recordings = item.Items()
	}
	for _, m := range set.recordings {
		m.CallKey = item.CallKey
	}
	return item, set
}

// addRecordings reads the call's recordings, and returns the malformed ones.
func (c *CallItem) addRecordings(list []byte) (bad []*MalformedItem) {
	if len(list) == 0 || list[0] != '[' {
		return nil
	}
	elements(list, func(value []byte) {
		var r callvault.Recording
		err := checkObject(value)
		if err == nil {
			err = readRecording(value, &r)
		}
		if err != nil {
			bad = append(bad, newMalformed(rawValue{value, int64(len(value))}, err))
			return
		}
		c.Recordings = append(c.Recordings, r)
		c.RawRecordings = append(c.RawRecordings, value)
	})
	return bad
}

// object returns the value as a JSON object that the caller may keep.
func (p rawValue) object() (json.RawMessage, error) {
	if !p.complete() {
		return nil, fmt.Errorf("it has %d bytes; at most %d are accepted", p.size, maxItem)
	}
	if err := checkObject(p.raw); err != nil {
		return nil, err
	}
	if !utf8.Valid(p.raw) {
		return bytes.ToValidUTF8(p.raw, []byte("\ufffd")), nil
	}
	return bytes.Clone(p.raw), nil
}

func checkObject(raw []byte) error {
	if raw[0] != '{' {
		return errors.New("it is not an object")
	}
	return nil
}

func readRecording(raw []byte, r *callvault.Recording) error {
	err := fields(raw, func(name, value []byte) error { return recordingField(r, name, value) })
	if err != nil {
		return err
	}
	if err := checkKey("recordingKey", r.RecordingKey); err != nil {
		return err
	}
	if err := checkKey("tenantName", r.TenantName); err != nil {
		return err
	}
	if r.CallKey != "" {
		if err := checkKey("callKey", r.CallKey); err != nil {
			return err
		}
	}
	return checkStart(r.StartTime)
}

func checkCall(c *callvault.Call, recordings []byte) error {
	if len(recordings) > 0 && recordings[0] != '[' && recordings[0] != 'n' {
		return fmt.Errorf("recordings is %s, not an array", excerpt(recordings))
	}
	if err := checkKey("callKey", c.CallKey); err != nil {
		return err
	}
	if err := checkKey("tenantName", c.TenantName); err != nil {
		return err
	}
	return checkStart(c.StartTime)
}

func checkStart(ms int64) error {
	switch {
	case ms == 0:
		return errors.New("startTime is missing")
	case ms < 0 || ms > callvault.MaxTime:
		return fmt.Errorf("startTime %d is not a time in Unix milliseconds", ms)
	}
	return nil
}

// checkKey is callvault.CheckKey without the status in its error, which would make
// an item of a list look like an answer to a request.
func checkKey(what, key string) error {
	if key == "" {
		return fmt.Errorf("%s is missing", what)
	}
	if strings.ContainsRune(key, utf8.RuneError) {
		return fmt.Errorf("the %s %q is not whole: it holds bytes that are not UTF-8", what, excerpt([]byte(key)))
	}
	if err := callvault.CheckKey(what, key); err != nil {
		return errors.New(strings.TrimSuffix(err.Error(), ": "+callvault.InvalidParameter.Error()))
	}
	return nil
}

func recordingField(r *callvault.Recording, name, value []byte) (err error) {
	switch string(name) {
	case "recordingKey":
		err = readText(&r.RecordingKey, value)
	case "callKey":
		err = readText(&r.CallKey, value)
	case "startTime":
		r.StartTime, err = readInteger(value)
	case "duration":
		r.Duration, err = readInteger(value)
	case "size":
		r.Size, err = readInteger(value)
	case "eventId":
		r.EventID, err = readInteger(value)
	case "recordingSystemId":
		r.RecordingSystemID, err = readInteger(value)
	case "status":
		err = readText((*string)(&r.Status), value)
	case "callingParty":
		err = readText(&r.CallingParty, value)
	case "receivingParty":
		err = readText(&r.ReceivingParty, value)
	case "tenantName":
		err = readText(&r.TenantName, value)
	case "tagData":
		err = readText(&r.TagData, value)
	case "callDirection":
		err = readText(&r.CallDirection, value)
	case "skill":
		err = readText(&r.Skill, value)
	case "agent":
		err = readText(&r.Agent, value)
	}
	return fieldError(name, err)
}

func callField(c *callvault.Call, name, value []byte) (err error) {
	switch string(name) {
	case "callId":
		err = readText(&c.CallID, value)
	case "shortId":
		c.ShortID, err = readInteger(value)
	case "callKey":
		err = readText(&c.CallKey, value)
	case "startTime":
		c.StartTime, err = readInteger(value)
	case "endTime":
		c.EndTime, err = readInteger(value)
	case "direction":
		err = readText(&c.Direction, value)
	case "tenantName":
		err = readText(&c.TenantName, value)
	case "callerId":
		err = readText(&c.CallerID, value)
	case "dialedPartyNumber":
		err = readText(&c.DialedPartyNumber, value)
	case "accountCodes":
		c.AccountCodes, err = readArray(value)
	case "totalHoldDuration":
		c.TotalHoldDuration, err = readInteger(value)
	case "location":
		err = readText(&c.Location, value)
	case "dropEventType":
		err = readText(&c.DropEventType, value)
	}
	return fieldError(name, err)
}

// fieldError adds to err which field is wrong.
func fieldError(name []byte, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %w", name, err)
}
