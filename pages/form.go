package pages

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// question asks for confirmation before something is done.
type question struct {
	Head, Text string
	Yes        string // what the button says
	Danger     bool
	Back       string // where to go instead
	Was        string // identifies the state asked about: the answer applies to that state only
}

// doneTexts report what was just done, by the parameter done in the address.
var doneTexts = map[string]string{
	"tenant-added": "The tenant was added. Recordings can be taken in for it, and users can be given access to it.",
	"saved":        "Saved. It takes effect from the next request on.",
	"reset":        "The usage was reset.",
	"disabled":     "Disabled. Sessions of this account have ended, and its key is refused.",
	"enabled":      "Enabled again.",
	"removed":      "Removed for good.",
}

// done returns the sentence that reports what was just done. A page that answers a
// POST reports nothing: the parameter in its address is about an earlier form.
func (x *exchange) done() string {
	if x.r.Method == http.MethodPost {
		return ""
	}
	return doneTexts[x.r.URL.Query().Get("done")]
}

// fingerprint returns a hash of settings, by which a form that is sent shows whether
// the settings it was made from have changed since.
func fingerprint(settings any) string {
	text, err := json.Marshal(settings)
	if err != nil {
		panic(err) // our own structs always have a JSON form
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:12])
}

// lines returns the distinct lines of a text that are not blank, without surrounding
// white space.
func lines(text string) []string {
	var list []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !slices.Contains(list, line) {
			list = append(list, line)
		}
	}
	return list
}
