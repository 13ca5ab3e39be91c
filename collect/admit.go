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

// verdict is the result of the admission test.
type verdict struct {
	refused string // why the body is not admitted; "" if it is
	doubt   string // why it is doubtful though admitted; "" if it is not
}

// Durations agree when they differ by less than the larger of these.
const (
	agreeWithin  = 2 * time.Second
	agreePercent = 5
)

// admit decides whether a body is the audio of the item. It must be an Ogg Opus stream
// that is sound page by page, with the digest that the source gave, if any; fault says
// what is wrong with it. Then come three witnesses: its length in bytes, the mark of its
// end, its duration. If one disagrees the body is doubtful, since sources err too; if two
// do, it is refused.
func admit(i *item, answer *client.Audio, sum [sha256.Size]byte, info audio.Info, fault error) verdict {
	var finding *audio.Fault
	switch {
	case errors.As(fault, &finding):
		return verdict{refused: finding.Finding()}
	case fault != nil:
		return verdict{refused: fault.Error()}
	case answer.SHA256 != nil && *answer.SHA256 != sum:
		return verdict{refused: fmt.Sprintf("its SHA-256 is %x, but the source's Repr-Digest says %x", sum, *answer.SHA256)}
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
