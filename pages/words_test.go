package pages

import (
	"errors"
	"testing"
	"time"
)

func TestDurationText(t *testing.T) {
	for d, want := range map[time.Duration]string{
		400 * time.Millisecond: "0s", 10 * time.Second: "10s", 59*time.Second + 600*time.Millisecond: "1m",
		2*time.Minute + 30*time.Second: "2m30s", 20 * time.Minute: "20m", 2 * time.Hour: "2h",
		time.Hour + 5*time.Second: "1h0m5s", 10*time.Hour + 10*time.Minute: "10h10m",
	} {
		if got := durationText(d); got != want {
			t.Errorf("%v is written %q, want %q", d, got, want)
		}
	}
}

// TestSentence: an error may begin with a name, and so with any letter.
func TestSentence(t *testing.T) {
	for text, want := range map[string]string{"": "", "no": "No.", "örjan may not": "Örjan may not.", "李 may not": "李 may not.", `"x"`: `"x".`} {
		if got := sentence(errors.New(text)); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
