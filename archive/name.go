package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
)

// The endings of a recording's two files.
const (
	audioEnding   = ".opus"
	sidecarEnding = ".json"
)

// A file name of more than maxName bytes is cut to keptName bytes, "~" and
// hashChars hexadecimal digits of the whole name's SHA-256.
const (
	maxName   = 200
	keptName  = 150
	hashChars = 16
)

// pathOf names a recording's files without their endings: the tenant, the UTC
// day on which it starts, its key.
func pathOf(tenant, key string, startMs int64) string {
	day := time.UnixMilli(startMs).UTC().Format("2006/01/02")
	return FileName(tenant) + "/" + day + "/" + FileName(key)
}

// Files are the keys of the blobs of the recording whose files stand at path: of
// its audio, and of the sidecar beside it.
func Files(path string) (audio, sidecar string) { return path + audioEnding, path + sidecarEnding }

// FileName makes a file's name of any text, a different one for each: letters,
// digits, ".", "_" and "-" stand for themselves, every other byte and a leading
// dot are percent-encoded.
func FileName(text string) string {
	const hexDigits = "0123456789ABCDEF"
	var name strings.Builder
	for i := range len(text) {
		c := text[i]
		plain := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			c == '_' || c == '-' || c == '.' && i > 0
		if plain {
			name.WriteByte(c)
		} else {
			name.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
		}
	}
	full := name.String()
	if len(full) <= maxName {
		return full
	}
	sum := sha256.Sum256([]byte(full))
	return full[:keptName] + "~" + hex.EncodeToString(sum[:])[:hashChars]
}
