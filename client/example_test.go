package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"callvault"
	"callvault/client"
)

// source stands in for a source of recordings.
func source() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/recordings"):
			io.WriteString(w, `[
				{"recordingKey":"91a1-1707770449131","startTime":1707770449131,"size":4,"status":"SAVED","tenantName":"acme-ns"},
				{"recordingKey":"a4bc-1707770466508","startTime":"yesterday","tenantName":"acme-ns"}]`)
		case strings.HasSuffix(r.URL.Path, "/91a1-1707770449131/audio"):
			io.WriteString(w, "OggS")
		default:
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
		}
	}))
}

func Example() {
	server := source()
	defer server.Close()
	c, err := client.New(server.URL, "the authentication key")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.CloseIdleConnections()

	day := callvault.Span{
		From: time.Date(2024, 2, 12, 0, 0, 0, 0, time.UTC).UnixMilli(),
		To:   time.Date(2024, 2, 13, 0, 0, 0, 0, time.UTC).UnixMilli(),
	}
	for item, err := range c.Recordings(context.Background(), day) {
		if malformed, ok := client.MalformedOf(err); ok {
			fmt.Println("set aside:", malformed.Err)
			continue
		}
		if err != nil {
			fmt.Println("no list:", err)
			return
		}
		fmt.Println(item.TenantName, item.RecordingKey, item.Status)
	}
	// Output:
	// acme-ns 91a1-1707770449131 SAVED
	// set aside: startTime is "yesterday", not a whole number
}

func ExampleClient_Audio() {
	server := source()
	defer server.Close()
	c, err := client.New(server.URL, "the authentication key")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.CloseIdleConnections()

	audio, err := c.Audio(context.Background(), "acme-ns", "91a1-1707770449131")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer audio.Body.Close()
	body, err := io.ReadAll(audio.Body)
	fmt.Printf("%s, %d of %d bytes, %v\n", body, len(body), audio.Size, err)

	_, err = c.Audio(context.Background(), "acme-ns", "a4bc-1707770466508")
	var wait callvault.Wait
	if errors.As(err, &wait) && errors.Is(err, callvault.TooManyRequests) {
		fmt.Println("wait", wait.For)
	}
	if refusal, ok := client.RefusalOf(err); ok {
		fmt.Println("status", refusal.Status)
	}
	// Output:
	// OggS, 4 of 4 bytes, <nil>
	// wait 7s
	// status 429
}
