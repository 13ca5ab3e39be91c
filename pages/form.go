package pages

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// question is what the page asks before something is done that cannot be undone.
type question struct {
	Head, Text string
	Yes        string // what the button says
	Danger     bool
	Back       string // where to go instead
	Was        string // what the question was asked about: the answer holds for that only
}

// dones are the sentences after something was done, by the word in the address.
var dones = map[string]string{
	"tenant-added": "The tenant was added. Recordings can be taken in for it, and users can be given access to it.",
	"saved":        "Saved. It takes effect from the next request on.",
	"reset":        "The usage was reset.",
	"disabled":     "Disabled. Sessions of this account have ended, and its key is refused.",
	"enabled":      "Enabled again.",
	"removed":      "Removed for good.",
}

// done is the sentence on what was done before the page: not before the answer to a form
// that was sent from there.
func (x *exchange) done() string {
	if x.r.Method == http.MethodPost {
		return ""
	}
	return dones[x.r.URL.Query().Get("done")]
}

// fingerprint tells whether settings are the same as when a form was made from
// them.
func fingerprint(settings any) string {
	text, err := json.Marshal(settings)
	if err != nil {
		panic(err) // our own structs always have a JSON form
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:12])
}

// lines are the lines of a text that hold something, each once.
func lines(text string) []string {
	var list []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !slices.Contains(list, line) {
			list = append(list, line)
		}
	}
	return list
}
