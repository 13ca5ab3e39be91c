package sample

import (
	"bytes"
	"embed"
	"encoding/binary"
	"sync"
)

//go:embed speech/*.opus
var speech embed.FS

// clip is the audio of one dialogue.
type clip struct {
	audio  []byte
	length int64 // milliseconds
}

// clips returns the dialogues by name. They are read once, because each read of an
// embedded file copies it.
var clips = sync.OnceValue(func() map[string]clip {
	entries, err := speech.ReadDir("speech")
	if err != nil {
		panic(err)
	}
	all := make(map[string]clip, len(entries))
	for _, entry := range entries {
		audio, err := speech.ReadFile("speech/" + entry.Name())
		if err != nil {
			panic(err)
		}
		name := entry.Name()[:len(entry.Name())-len(".opus")]
		all[name] = clip{audio: audio, length: playingTime(audio)}
	}
	return all
})

// playingTime returns the length in milliseconds of one of our Ogg Opus files: the last
// page's granule position less the pre-skip, in samples at 48 kHz (RFC 7845 4).
// It trusts the file; package audio is for files from elsewhere.
func playingTime(ogg []byte) int64 {
	const granule, preSkip = 6, 28 + 10
	lastPage := ogg[bytes.LastIndex(ogg, []byte("OggS")):]
	samples := binary.LittleEndian.Uint64(lastPage[granule:])
	return (int64(samples) - int64(binary.LittleEndian.Uint16(ogg[preSkip:]))) / 48
}
