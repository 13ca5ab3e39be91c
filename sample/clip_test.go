package sample

import (
	"encoding/binary"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestClips(t *testing.T) {
	total := 0
	for name, c := range clips() {
		total += len(c.audio)
		if c.length < 10_000 || c.length > 60_000 {
			t.Errorf("%s lasts %d ms, want 10 to 60 s", name, c.length)
		}
		head := c.audio[28:]
		if string(head[:8]) != "OpusHead" {
			t.Errorf("%s is not Ogg Opus", name)
		}
		if channels := head[9]; channels != 1 {
			t.Errorf("%s has %d channels, want 1", name, channels)
		}
		if rate := binary.LittleEndian.Uint32(head[12:]); rate != 8000 {
			t.Errorf("%s is of %d Hz, want 8000", name, rate)
		}
	}
	if len(clips()) < 12 || total >= 1<<20 {
		t.Errorf("%d dialogues have %d bytes, want 12 or more within 1 MiB", len(clips()), total)
	}
}

func TestEachClipIsToldAndUsed(t *testing.T) {
	told, err := fs.Glob(os.DirFS("speech"), "*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for i := range told {
		told[i] = strings.TrimSuffix(told[i], ".txt")
	}
	used := map[string]bool{}
	for _, s := range sites {
		for _, script := range s.scripts {
			for _, p := range script.parts {
				used[p.speech] = true
			}
		}
	}
	made := slices.Sorted(maps.Keys(clips()))
	if diff := cmp.Diff(told, made); diff != "" {
		t.Errorf("dialogues with audio (-written +made):\n%s", diff)
	}
	if diff := cmp.Diff(made, slices.Sorted(maps.Keys(used))); diff != "" {
		t.Errorf("dialogues in calls (-made +used):\n%s", diff)
	}
}

// TestPlayingTime compares with what make-speech.sh said of the sound it encoded.
func TestPlayingTime(t *testing.T) {
	for name, want := range map[string]int64{
		"01-order-status": 43_820, "05-pedido": 44_110, "20-dock-plan": 28_440,
	} {
		if got := clips()[name].length; got != want {
			t.Errorf("%s lasts %d ms, want %d", name, got, want)
		}
	}
}
