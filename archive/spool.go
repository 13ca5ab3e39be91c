package archive

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"os"

	"callvault/audio"
)

// largeAudio is the size in bytes from which on audio is synced before its turn
// to be kept comes, so that its turn is short.
const largeAudio = 1 << 20

// Spool takes audio in: what is written to it is staged, counted, hashed and
// checked in one pass. It ends with Finish or Discard.
type Spool struct {
	blobs   Blobs
	file    *os.File
	sum     hash.Hash
	checker audio.Checker
	to      io.Writer
}

// Audio is a whole Ogg Opus stream that waits to be kept.
type Audio struct {
	SHA256 [sha256.Size]byte
	Info   audio.Info
	file   *os.File
}

// NewSpool returns an empty spool.
func (a *Archive) NewSpool() (*Spool, error) {
	file, err := a.blobs.Stage()
	if err != nil {
		return nil, StorageError(err)
	}
	s := &Spool{blobs: a.blobs, file: file, sum: sha256.New()}
	s.to = io.MultiWriter(file, s.sum, &s.checker)
	return s, nil
}

// Write takes the next bytes of the audio. Only a full or failing disk stops it.
func (s *Spool) Write(p []byte) (int, error) {
	n, err := s.to.Write(p)
	return n, StorageError(err)
}

// Finish ends the audio. An error that is audio.ErrUnprocessable is the audio's
// fault; its bytes are discarded.
func (s *Spool) Finish() (*Audio, error) {
	info, err := s.checker.Finish()
	if err == nil && info.Bytes >= largeAudio {
		err = StorageError(s.file.Sync())
	}
	if err != nil {
		s.Discard()
		return nil, err
	}
	done := &Audio{Info: info, file: s.file}
	s.sum.Sum(done.SHA256[:0])
	s.file = nil
	return done, nil
}

// Scratch returns an empty file for bytes on their way in, on the archive's disk,
// and what ends it.
func (a *Archive) Scratch() (file *os.File, discard func(), err error) {
	file, err = a.blobs.Stage()
	if err != nil {
		return nil, nil, StorageError(err)
	}
	return file, func() { a.blobs.Discard(file) }, nil
}

// Discard throws away what was written. It does nothing after Finish.
func (s *Spool) Discard() {
	if s.file != nil {
		s.blobs.Discard(s.file)
		s.file = nil
	}
}

// stageBytes stages a small blob.
func stageBytes(blobs Blobs, content []byte) (*os.File, error) {
	file, err := blobs.Stage()
	if err != nil {
		return nil, err
	}
	if _, err := file.Write(content); err != nil {
		blobs.Discard(file)
		return nil, fmt.Errorf("stage: %w", err)
	}
	return file, nil
}
