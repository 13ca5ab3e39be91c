package archive

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"

	"callvault/audio"
)

// largeAudio is the size in bytes from which audio is synced as soon as it is
// complete, so that other intakes need not wait for it when the group is committed.
const largeAudio = 1 << 20

// Spool takes in audio: what is written to it is staged, counted, hashed and
// checked in one pass. It must be ended with Finish, Accept or Discard.
type Spool struct {
	blobs   Blobs
	file    *os.File
	sum     hash.Hash
	checker audio.Checker
	to      io.Writer
}

// Audio is audio that has been spooled and waits to be kept.
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

// Write takes the next bytes of the audio. It fails only if the disk is full or
// faulty; what is wrong with the audio is reported by End and Finish.
func (s *Spool) Write(p []byte) (int, error) {
	n, err := s.to.Write(p)
	return n, StorageError(err)
}

// spoolBuffers are the buffers of ReadFrom. With a new one for each recording, they
// would make up most of the garbage.
var spoolBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// ReadFrom writes all that r yields. io.Copy uses it.
func (s *Spool) ReadFrom(r io.Reader) (int64, error) {
	buffer := spoolBuffers.Get().(*[32 << 10]byte)
	defer spoolBuffers.Put(buffer)
	return io.CopyBuffer(struct{ io.Writer }{s}, r, buffer[:]) // the struct hides this method
}

// End returns the hash of what was written, what its headers and pages say, and, as
// the error, what is wrong with it. The bytes stay until Finish, Accept or Discard.
func (s *Spool) End() (sum [sha256.Size]byte, info audio.Info, err error) {
	info, err = s.checker.Finish()
	s.sum.Sum(sum[:0])
	return sum, info, err
}

// Finish ends the spool and returns its audio, a whole Ogg Opus stream. If the audio
// is faulty the error is audio.ErrUnprocessable. After an error the bytes are gone.
func (s *Spool) Finish() (*Audio, error) {
	if _, _, err := s.End(); err != nil {
		s.Discard()
		return nil, err
	}
	return s.Accept()
}

// Accept ends the spool as Finish does, whatever is wrong with its audio.
func (s *Spool) Accept() (*Audio, error) {
	sum, info, _ := s.End()
	if info.Bytes >= largeAudio {
		if err := s.file.Sync(); err != nil {
			s.Discard()
			return nil, StorageError(err)
		}
	}
	done := &Audio{SHA256: sum, Info: info, file: s.file}
	s.file = nil
	return done, nil
}

// CopyTo copies to w what was written to the spool.
func (s *Spool) CopyTo(w io.Writer) error {
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read what was spooled: %w", err)
	}
	if _, err := io.Copy(w, s.file); err != nil {
		return fmt.Errorf("copy what was spooled: %w", err)
	}
	return nil
}

// Scratch returns an empty temporary file on the disk where blobs are staged, and
// the function that discards it.
func (a *Archive) Scratch() (file *os.File, discard func(), err error) {
	file, err = a.blobs.Stage()
	if err != nil {
		return nil, nil, StorageError(err)
	}
	return file, func() { a.blobs.Discard(file) }, nil
}

// Discard throws away what was written. It does nothing after Finish or Accept.
func (s *Spool) Discard() {
	if s.file != nil {
		s.blobs.Discard(s.file)
		s.file = nil
	}
}

// PutBytes stores content as a blob.
func PutBytes(ctx context.Context, blobs Blobs, key string, content []byte) error {
	file, err := stageBytes(blobs, content)
	if err != nil {
		return StorageError(err)
	}
	defer blobs.Discard(file) // does nothing once the file is put
	return PutFile(ctx, blobs, key, file)
}

// PutFile turns a staged file into a blob.
func PutFile(ctx context.Context, blobs Blobs, key string, file *os.File) error {
	return StorageError(blobs.Put(ctx, []string{key}, []*os.File{file}))
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
