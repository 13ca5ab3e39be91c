package client

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"callvault"
)

func TestStatuses(t *testing.T) {
	var status int
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "session=1")
		w.Header().Set("X-Echo", r.Header.Get("Authorization"))
		w.Header().Set("X-Other", "kept")
		if status == 206 {
			w.Header().Set("Content-Range", "bytes 0-3/4")
		}
		w.WriteHeader(status)
		if status != 204 && status != 304 {
			fmt.Fprintf(w, `{"code":"a_code","message":"Not with\n %s, \u0007 friend.","more":1}`, testKey)
		}
	})
	for _, status = range []int{201, 202, 203, 204, 205, 206, 226, 300, 304, 400, 401, 403, 404, 418, 429, 500, 502, 503, 504, 509, 599, 999} {
		_, audioErr := c.Audio(t.Context(), "acme-ns", "k1")
		listErr := collect(t, c).err
		callErr := onlyError(c.Calls(t.Context(), anyDay))
		for _, err := range []error{audioErr, listErr, callErr} {
			var wait callvault.Wait
			if !errors.Is(err, callvault.Code(status)) || errors.As(err, &wait) {
				t.Fatalf("%d: got %v", status, err)
			}
			refusal, ok := RefusalOf(fmt.Errorf("tonight: %w", err))
			if !ok || refusal.Status != status || refusal.Header.Get("Set-Cookie") != "" || refusal.Header.Get("X-Other") != "kept" {
				t.Fatalf("%d: got %+v", status, refusal)
			}
			everything := fmt.Sprint(err, refusal, string(refusal.Body))
			if strings.Contains(everything, testKey) {
				t.Errorf("%d: the key is in %s", status, everything)
			}
			if strings.ContainsAny(err.Error(), "\n\a") {
				t.Errorf("%d: %q", status, err)
			}
			if status >= 400 && (refusal.Name != "a_code" || !strings.Contains(err.Error(), "Not with [key], friend.") ||
				!strings.HasPrefix(string(refusal.Body), `{"code":"a_code"`)) {
				t.Errorf("%d: %q, evidence %q", status, err, refusal.Body)
			}
		}
		if !strings.Contains(audioErr.Error(), "audio of k1 of tenant acme-ns at 127.0.0.1") || !strings.Contains(audioErr.Error(), fmt.Sprintf(": answered with status %d", status)) {
			t.Errorf("%d: %q", status, audioErr)
		}
	}
	if _, ok := RefusalOf(io.EOF); ok {
		t.Error("io.EOF is a refusal")
	}
	if _, ok := RefusalOf(nil); ok {
		t.Error("nil is a refusal")
	}
}

func TestErrorBodies(t *testing.T) {
	long := strings.Repeat("é", maxEvidence)
	var body string
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(500)
		io.WriteString(w, body)
	})
	for name, test := range map[string]struct{ body, message string }{
		"none":         {"", ""},
		"page":         {"<html>" + long, ""},
		"other types":  {`{"code":5,"message":["a"]}`, ""},
		"no object":    {`["message"]`, ""},
		"message only": {`{"message":"so it is"}`, "so it is"},
		"long":         {`{"message":"` + long[:2000] + `"}`, long[:maxForeign] + "…"},
		"key at the edge": {
			strings.Repeat("x", maxEvidence-5) + testKey, "",
		},
		"key often, and over the edge": {
			strings.Repeat(testKey, 4) + strings.Repeat("x", maxEvidence+1-4*len(testKey)) + testKey, "",
		},
	} {
		body = test.body
		err := collect(t, c).err
		refusal, ok := RefusalOf(err)
		if !ok || refusal.Message != test.message {
			t.Errorf("%s: message %q, want %q", name, refusal.Message, test.message)
		}
		if len(refusal.Body) > maxEvidence || len(err.Error()) > 1000 {
			t.Errorf("%s: %d bytes of evidence, an error of %d", name, len(refusal.Body), len(err.Error()))
		}
		if strings.Contains(string(refusal.Body), testKey[:5]) {
			t.Errorf("%s: a part of the key is in the evidence", name)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2024, 2, 12, 10, 0, 0, 0, time.UTC)
	later := now.Add(90 * time.Second)
	for _, test := range []struct {
		value, date string
		want        time.Duration
		ok          bool
	}{
		{"", "", 0, false},
		{"7", "", 7 * time.Second, true},
		{" 7 ", "", 7 * time.Second, true},
		{"0", "", 0, true},
		{"-1", "", 0, false},
		{"+1", "", 0, false},
		{"1.5", "", 0, false},
		{"soon", "", 0, false},
		{"99999999999999999999", "", maxWait, true},
		{"999999999999", "", maxWait, true},
		{later.Format(http.TimeFormat), "", 90 * time.Second, true},
		{later.Format(time.ANSIC), "", 90 * time.Second, true},
		{now.Add(-time.Hour).Format(http.TimeFormat), "", 0, true},
		{"Fri, 31 Dec 9999 23:59:59 GMT", "", maxWait, true},
		// The server's clock is an hour ahead of ours; it means 30 seconds.
		{now.Add(time.Hour + 30*time.Second).Format(http.TimeFormat), now.Add(time.Hour).Format(http.TimeFormat), 30 * time.Second, true},
		{later.Format(http.TimeFormat), "yesterday", 90 * time.Second, true},
	} {
		header := http.Header{}
		header.Set("Retry-After", test.value)
		header.Set("Date", test.date)
		if got, ok := retryAfter(header, now); got != test.want || ok != test.ok {
			t.Errorf("%q: got %v %v, want %v %v", test.value, got, ok, test.want, test.ok)
		}
	}
}

func TestWait(t *testing.T) {
	var status int
	var value string
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", value)
		w.WriteHeader(status)
	})
	for _, status = range []int{429, 503, 509} {
		value = "12"
		var wait callvault.Wait
		_, err := c.Audio(t.Context(), "t", "k")
		if !errors.As(err, &wait) || wait != (callvault.Wait{Code: callvault.Code(status), For: 12 * time.Second}) ||
			!errors.Is(err, callvault.Code(status)) || !strings.Contains(err.Error(), "try again in 12s") {
			t.Errorf("%d: got %v", status, err)
		}
		value = time.Now().Add(5 * time.Minute).UTC().Format(http.TimeFormat)
		err = collect(t, c).err
		if !errors.As(err, &wait) || wait.For < 4*time.Minute || wait.For > 6*time.Minute {
			t.Errorf("%d: got %v", status, err)
		}
	}
}
