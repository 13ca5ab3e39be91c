package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"callvault"

	"golang.org/x/crypto/argon2"
)

// A password must be long enough. There are no other rules (NIST SP 800-63B 3.1.1).
const (
	leastPassword = 12   // characters
	mostPassword  = 1024 // bytes
)

// CheckPassword returns an error, which wraps callvault.InvalidParameter, if a password
// is not acceptable.
func CheckPassword(password string) error {
	switch {
	case !utf8.ValidString(password):
		return fmt.Errorf("the password is not valid UTF-8: %w", callvault.InvalidParameter)
	case len(password) > mostPassword:
		return fmt.Errorf("the password has %d bytes; at most %d are allowed: %w", len(password), mostPassword, callvault.InvalidParameter)
	case utf8.RuneCountInString(password) < leastPassword:
		return fmt.Errorf("the password is too short; it needs %d characters, and a few words that you can remember are best: %w",
			leastPassword, callvault.InvalidParameter)
	}
	return nil
}

// cost is the parameters of argon2id (RFC 9106 3.1).
type cost struct {
	memory  uint32 // KiB
	passes  uint32
	threads uint8
}

// usualCost is OWASP's first choice for a server.
var usualCost = cost{memory: 19 << 10, passes: 2, threads: 1}

const (
	saltBytes = 16
	hashBytes = 32
)

// hashed is the hash of a password, as parsed from its PHC form.
type hashed struct {
	cost
	salt, sum []byte
}

// hashers lets two passwords be hashed at a time. Each takes 19 MiB and some 30 ms of
// a processor, and anyone can ask for it without signing in.
type hashers chan struct{}

func newHashers() hashers { return make(hashers, 2) }

// sum waits for its turn and computes a password's hash with the parameters of like.
func (h hashers) sum(ctx context.Context, password string, like *hashed) ([]byte, error) {
	select {
	case h <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait to check a password: %w", ctx.Err())
	}
	defer func() { <-h }()
	return argon2.IDKey([]byte(password), like.salt, like.passes, like.memory, like.threads, uint32(len(like.sum))), nil
}

// hash returns the PHC form of a password's hash, which is what is stored.
func (h hashers) hash(ctx context.Context, password string) (string, error) {
	made := hashed{cost: usualCost, salt: make([]byte, saltBytes), sum: make([]byte, hashBytes)}
	rand.Read(made.salt)
	sum, err := h.sum(ctx, password, &made)
	if err != nil {
		return "", err
	}
	made.sum = sum
	return made.String(), nil
}

// check reports whether the password has the hash stored, in PHC form. If stored is
// empty it takes the same time and returns false.
func (h hashers) check(ctx context.Context, stored, password string) (bool, error) {
	want, ok := decoy(), false
	if stored != "" {
		var err error
		if want, err = parseHash(stored); err != nil {
			return false, err
		}
		ok = true
	}
	sum, err := h.sum(ctx, password, want)
	return ok && subtle.ConstantTimeCompare(sum, want.sum) == 1, err
}

// decoy returns a hash that no password has.
var decoy = sync.OnceValue(func() *hashed {
	none := &hashed{cost: usualCost, salt: make([]byte, saltBytes), sum: make([]byte, hashBytes)}
	rand.Read(none.salt)
	rand.Read(none.sum)
	return none
})

var phc64 = base64.RawStdEncoding.Strict()

// String returns the PHC form: $argon2id$v=19$m=19456,t=2,p=1$salt$hash.
func (h *hashed) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.passes, h.threads,
		phc64.EncodeToString(h.salt), phc64.EncodeToString(h.sum))
}

var errNoHash = errors.New("this is not an argon2id hash in PHC form, or it costs too much to check")

// parseHash parses the PHC form of an argon2id hash
// (github.com/P-H-C/phc-string-format). It refuses one that would cost too much to
// check.
func parseHash(text string) (*hashed, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return nil, errNoHash
	}
	var h hashed
	var numbers [3]uint64
	fields := strings.Split(parts[3], ",")
	if len(fields) != len(numbers) {
		return nil, errNoHash
	}
	for i, most := range []uint64{1 << 18, 16, 16} {
		digits, ok := strings.CutPrefix(fields[i], []string{"m=", "t=", "p="}[i])
		n, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil || n == 0 || n > most || strconv.FormatUint(n, 10) != digits {
			return nil, errNoHash
		}
		numbers[i] = n
	}
	h.memory, h.passes, h.threads = uint32(numbers[0]), uint32(numbers[1]), uint8(numbers[2])
	var err, sumErr error
	h.salt, err = phc64.DecodeString(parts[4])
	h.sum, sumErr = phc64.DecodeString(parts[5])
	if err != nil || sumErr != nil || h.memory < 8*uint32(h.threads) ||
		len(h.salt) < 8 || len(h.salt) > 64 || len(h.sum) < 16 || len(h.sum) > 64 {
		return nil, errNoHash
	}
	return &h, nil
}
