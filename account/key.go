package account

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"hash/crc32"
	"math/big"
	"regexp"
	"strings"

	"callvault"
)

// An authentication key is the prefix, 256 random bits in base 62 and the CRC-32
// of all that in base 62: a secret scanner knows it by its look, and a mistyped
// one is told from a wrong one without a look at the database.
const (
	keyPrefix   = "cvk_"
	secretChars = 43
	sumChars    = 6
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// newKey makes an authentication key.
func newKey() string { return newSecret(keyPrefix) }

// newSecret makes a secret of a key's form with a prefix of its own.
func newSecret(prefix string) string {
	var secret [32]byte
	rand.Read(secret[:])
	body := prefix + encode62(new(big.Int).SetBytes(secret[:]), secretChars)
	return body + keySum(body)
}

// checkKey refuses what cannot be one of our keys, with callvault.Unauthorized.
func checkKey(key string) error {
	if why := misshapen(key, keyPrefix); why != "" {
		return fmt.Errorf("that is not an authentication key: %s: %w", why, callvault.Unauthorized)
	}
	return nil
}

// misshapen says what keeps a text from being a secret with this prefix; it is
// empty when nothing does.
func misshapen(secret, prefix string) string {
	body, ok := strings.CutPrefix(secret, prefix)
	if !ok || len(body) != secretChars+sumChars {
		return fmt.Sprintf("one has %d characters and begins with %s", len(prefix)+secretChars+sumChars, prefix)
	}
	at := len(secret) - sumChars
	if subtle.ConstantTimeCompare([]byte(keySum(secret[:at])), []byte(secret[at:])) != 1 {
		return "its checksum does not fit, so that it is mistyped or cut"
	}
	return ""
}

var keyForm = regexp.MustCompile(`(` + keyPrefix + `|` + ticketPrefix + `)[0-9A-Za-z]{8,}`)

// MaskKeys is the text without the authentication keys and the tickets of one-time
// links in it, should somebody have put one where it does not belong: into a path,
// or in a name's place.
func MaskKeys(text string) string {
	if !strings.Contains(text, keyPrefix) && !strings.Contains(text, ticketPrefix) {
		return text
	}
	return keyForm.ReplaceAllString(text, "$1...")
}

func keySum(body string) string {
	return encode62(big.NewInt(int64(crc32.ChecksumIEEE([]byte(body)))), sumChars)
}

// encode62 writes n in base 62 with leading zeros to width characters.
func encode62(n *big.Int, width int) string {
	out := make([]byte, width)
	radix, digit := big.NewInt(62), new(big.Int)
	for i := width - 1; i >= 0; i-- {
		n.DivMod(n, radix, digit)
		out[i] = base62[digit.Int64()]
	}
	return string(out)
}

// hashKey is what is kept of a key. The key holds 256 random bits, so that a
// plain hash cannot be searched; looking it up by its hash tells nothing of it
// by the time that it takes.
func hashKey(key string) [sha256.Size]byte { return sha256.Sum256([]byte(key)) }
