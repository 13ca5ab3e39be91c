package callvault

import (
	"encoding/json"
	"fmt"
)

// Call is a telephone call with its recordings, in the fields, names and order
// of the seed ("Expanded Metrics Available"). Times are Unix milliseconds,
// TotalHoldDuration is in milliseconds. AccountCodes are kept as they came.
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

// nearCall is how far from its call a recording starts at most, in milliseconds,
// for the times in the call's key to be believed: other systems have numbers in
// their keys that are no times.
const nearCall = 24 * 60 * 60 * 1000

// CallOf makes the call of a recording that came without one: its key and times
// from the recording's call key where that tells them, else from the recording.
func CallOf(r *Recording) Call {
	id, span, ok := SplitCallKey(r.CallKey)
	if !ok || span.From <= 0 || r.StartTime < span.From-nearCall || r.StartTime > span.To+nearCall {
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

// Validate tells whether the call can be kept. The error, a sentence for the one
// who sent it, wraps InvalidParameter.
func (c *Call) Validate() error {
	if err := CheckKey("callKey", c.CallKey); err != nil {
		return err
	}
	if err := CheckKey("call's tenantName", c.TenantName); err != nil {
		return err
	}
	if c.StartTime <= 0 || c.EndTime > MaxTime || c.StartTime > c.EndTime {
		return fmt.Errorf("the call's startTime %d and endTime %d are not a stretch of time in Unix milliseconds: %w",
			c.StartTime, c.EndTime, InvalidParameter)
	}
	if c.TotalHoldDuration < 0 {
		return fmt.Errorf("totalHoldDuration %d is not a number of milliseconds: %w", c.TotalHoldDuration, InvalidParameter)
	}
	return nil
}

// AppendJSON appends the call's published JSON form to b, lists never null.
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
