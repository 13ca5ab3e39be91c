package callvault

import (
	"encoding/json"
	"fmt"
)

// Call is a telephone call with its recordings, in the fields, names and order
// of the API guide ("Expanded Metrics Available"). Times are Unix milliseconds;
// TotalHoldDuration is in milliseconds. AccountCodes are kept as received.
type Call struct {
	CallID            string            `json:"callId"`
	ShortID           int64             `json:"shortId"`
	CallKey           string            `json:"callKey"`
	StartTime         int64             `json:"startTime"`
	EndTime           int64             `json:"endTime"`
	Direction         string            `json:"direction"`
	Recordings        []Recording       `json:"recordings"`
	TenantName        string            `json:"tenantName"`
	CallerID          string            `json:"callerId"`
	DialedPartyNumber string            `json:"dialedPartyNumber"`
	AccountCodes      []json.RawMessage `json:"accountCodes"`
	TotalHoldDuration int64             `json:"totalHoldDuration"`
	Location          string            `json:"location"`
	DropEventType     string            `json:"dropEventType"`
}

// maxKeyDistance is the largest distance, in milliseconds, between the start of a
// recording and the call times in its call key at which those times are trusted:
// the numbers in other systems' keys need not be times.
const maxKeyDistance = 24 * 60 * 60 * 1000

// CallOf returns a call for a recording that came without one. Its identifier and
// times come from the recording's call key if that holds plausible times, and
// otherwise from the recording.
func CallOf(r *Recording) Call {
	id, span, ok := SplitCallKey(r.CallKey)
	if !ok || span.From <= 0 || r.StartTime < span.From-maxKeyDistance || r.StartTime > span.To+maxKeyDistance {
		id, span = r.CallKey, Span{From: r.StartTime, To: min(r.StartTime+r.Duration, MaxTime)}
	}
	call := Call{
		CallID: id, CallKey: r.CallKey, StartTime: span.From, EndTime: span.To,
		Direction: r.CallDirection, TenantName: r.TenantName,
	}
	switch r.CallDirection {
	case "INBOUND":
		call.CallerID = r.CallingParty
	case "OUTBOUND":
		call.DialedPartyNumber = r.ReceivingParty
	}
	return call
}

// Validate returns an error if the call cannot be stored: a sentence for its
// sender that wraps InvalidParameter.
func (c *Call) Validate() error {
	if err := CheckKey("callKey", c.CallKey); err != nil {
		return err
	}
	if err := CheckKey("call's tenantName", c.TenantName); err != nil {
		return err
	}
	if c.StartTime <= 0 || c.EndTime > MaxTime || c.StartTime > c.EndTime {
		return fmt.Errorf("the call's startTime %d and endTime %d are not a valid range in Unix milliseconds: %w",
			c.StartTime, c.EndTime, InvalidParameter)
	}
	if c.TotalHoldDuration < 0 {
		return fmt.Errorf("totalHoldDuration %d is not a number of milliseconds: %w", c.TotalHoldDuration, InvalidParameter)
	}
	return nil
}

// AppendJSON appends the call's published JSON form to b. Lists are never null.
func (c *Call) AppendJSON(b []byte) []byte {
	filled := *c
	if filled.Recordings == nil {
		filled.Recordings = []Recording{}
	}
	if filled.AccountCodes == nil {
		filled.AccountCodes = []json.RawMessage{}
	}
	return appendJSON(b, &filled)
}
