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

// An authentication key is the prefix, 256 random bits in base 62, and the CRC-32 of
// all that in base 62. Secret scanners can recognize it, and a mistyped key is refused
// without a query of the database.
const (
	keyPrefix   = "cvk_"
	secretChars = 43
	sumChars    = 6
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// newKey returns a new authentication key.
func newKey() string { return newSecret(keyPrefix) }

// newSecret returns a new secret in the form of a key, with the given prefix.
func newSecret(prefix string) string {
	var secret [32]byte
	rand.Read(secret[:])
	body := prefix + encode62(new(big.Int).SetBytes(secret[:]), secretChars)
	return body + keySum(body)
}

// checkKey returns an error, which wraps callvault.Unauthorized, if the text cannot be
// one of our keys.
func checkKey(key string) error {
	if why := misshapen(key, keyPrefix); why != "" {
		return fmt.Errorf("that is not an authentication key: %s: %w", why, callvault.Unauthorized)
	}
	return nil
}

// misshapen says why a text cannot be a secret with this prefix, or returns "".
func misshapen(secret, prefix string) string {
	body, ok := strings.CutPrefix(secret, prefix)
	if !ok || len(body) != secretChars+sumChars {
		return fmt.Sprintf("it must have %d characters and begin with %s", len(prefix)+secretChars+sumChars, prefix)
	}
	at := len(secret) - sumChars
	if subtle.ConstantTimeCompare([]byte(keySum(secret[:at])), []byte(secret[at:])) != 1 {
		return "its checksum does not match, so it is mistyped or incomplete"
	}
	return ""
}

var keyForm = regexp.MustCompile(`(` + keyPrefix + `|` + ticketPrefix + `)[0-9A-Za-z]{8,}`)

// MaskKeys masks the authentication keys and the tickets of one-time links in a text,
// in case someone put one where it does not belong, such as in a path or in place of a
// name.
func MaskKeys(text string) string {
	if !strings.Contains(text, keyPrefix) && !strings.Contains(text, ticketPrefix) {
		return text
	}
	return keyForm.ReplaceAllString(text, "$1...")
}

func keySum(body string) string {
	return encode62(big.NewInt(int64(crc32.ChecksumIEEE([]byte(body)))), sumChars)
}

// encode62 returns n in base 62, with leading zeros up to width characters.
func encode62(n *big.Int, width int) string {
	out := make([]byte, width)
	radix, digit := big.NewInt(62), new(big.Int)
	for i := width - 1; i >= 0; i-- {
		n.DivMod(n, radix, digit)
		out[i] = base62[digit.Int64()]
	}
	return string(out)
}

// hashKey returns the hash that is stored of a key. As the key has 256 random bits, a
// plain hash is enough; and the time that a look-up by hash takes reveals nothing of the
// key.
func hashKey(key string) [sha256.Size]byte { return sha256.Sum256([]byte(key)) }
