package collect

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"callvault/audio"
	"callvault/client"
)

// verdict is what the admission test says of a body.
type verdict struct {
	refused string // why it is not admitted; empty when it is
	doubt   string // why it is doubtful though admitted
}

// Durations agree when they differ by less than the larger of these.
const (
	agreeWithin  = 2 * time.Second
	agreePercent = 5
)

// admit tells whether a whole body is the audio of the item: it must be an Ogg
// Opus stream that is sound page by page, with the digest that the source told,
// if it did. Then three witnesses are heard: its length in bytes, the mark of its
// end, its length in time. One that disagrees makes it doubtful (sources err
// too), two refuse it.
func admit(i *item, told *client.Audio, sum [sha256.Size]byte, info audio.Info, checked error) verdict {
	var fault *audio.Fault
	switch {
	case errors.As(checked, &fault):
		return verdict{refused: fault.Finding()}
	case checked != nil:
		return verdict{refused: checked.Error()}
	case told.SHA256 != nil && *told.SHA256 != sum:
		return verdict{refused: fmt.Sprintf("its SHA-256 is %x, but the source's Repr-Digest says %x", sum, *told.SHA256)}
	}
	var against []string
	if info.Bytes != i.size {
		against = append(against, fmt.Sprintf("it has %d bytes, the list says %d", info.Bytes, i.size))
	}
	if !info.Ended {
		against = append(against, "its end is not marked")
	}
	length := info.Duration()
	listed := time.Duration(i.durationMs) * time.Millisecond
	if apart := (length - listed).Abs(); apart > max(agreeWithin, listed*agreePercent/100) {
		against = append(against, fmt.Sprintf("it lasts %v, the list says %v", length.Round(time.Millisecond), listed))
	}
	switch len(against) {
	case 0:
		return verdict{}
	case 1:
		return verdict{doubt: against[0]}
	}
	return verdict{refused: strings.Join(against, "; ")}
}
