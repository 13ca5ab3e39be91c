package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
)

// The file name endings of a recording's two files.
const (
	audioEnding   = ".opus"
	sidecarEnding = ".json"
)

// A file name of more than maxName bytes becomes its first keptName bytes, "~" and
// hashChars hexadecimal digits of the whole name's SHA-256.
const (
	maxName   = 200
	keptName  = 150
	hashChars = 16
)

// pathOf returns the path of a recording's files, without their endings: the
// tenant, the UTC day on which the recording starts, and its key.
func pathOf(tenant, key string, startMs int64) string {
	day := time.UnixMilli(startMs).UTC().Format("2006/01/02")
	return FileName(tenant) + "/" + day + "/" + FileName(key)
}

// Files returns the blob keys of the recording whose files are at path: that of its
// audio, and that of the sidecar beside it.
func Files(path string) (audio, sidecar string) { return path + audioEnding, path + sidecarEnding }

// FileName turns any text into a file name, a different one for each text. ASCII
// letters, digits, ".", "_" and "-" stand for themselves; every other byte, and a
// leading dot, is percent-encoded. A name over 200 bytes is shortened.
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
