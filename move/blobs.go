package move

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"callvault/archive"

	"golang.org/x/sync/errgroup"
)

// readsAtOnce is how many blobs are read at once.
const readsAtOnce = 16

// Blobs are made durable in groups of at most so many blobs and bytes.
const (
	groupBlobs = 128
	groupBytes = 64 << 20
)

// copier copies blobs from one store to another.
type copier struct{ from, to archive.Blobs }

// blob is a blob that is being copied. fault says why it cannot be read.
type blob struct {
	key   string
	file  *os.File // staged
	bytes int64
	sum   [sha256.Size]byte
	fault error
}

// errorKeeper is a reader that remembers why it failed, so that errors of reading can be
// distinguished from those of writing.
type errorKeeper struct {
	io.Reader
	err error
}

func (n *errorKeeper) Read(p []byte) (int, error) {
	read, err := n.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		n.err = err
	}
	return read, err
}

// hash copies a blob of a store to w, which may be nil, and returns its length and hash.
// fault is what is wrong with the blob itself, err any other error.
func hash(ctx context.Context, store archive.Blobs, key string, w io.Writer) (n int64, sum [sha256.Size]byte, fault, err error) {
	size, err := store.Size(ctx, key)
	if err != nil {
		fault, err = classify(ctx, err)
		return 0, sum, fault, err
	}
	file, err := store.Open(ctx, key, size)
	if err != nil {
		fault, err = classify(ctx, err)
		return 0, sum, fault, err
	}
	defer file.Close()
	digest, reader := sha256.New(), &errorKeeper{Reader: file}
	to := io.Writer(digest)
	if w != nil {
		to = io.MultiWriter(w, digest)
	}
	n, err = io.Copy(to, reader)
	if reader.err != nil {
		fault, err = classify(ctx, reader.err)
	}
	digest.Sum(sum[:0])
	return n, sum, fault, err
}

// classify returns cause as fault if it is the blob's own fault. It returns it as err if the
// store is away or ctx has ended, which says nothing about the blob.
func classify(ctx context.Context, cause error) (fault, err error) {
	var store interface{ Unavailable() bool }
	if ctx.Err() != nil || errors.As(cause, &store) && store.Unavailable() {
		return nil, cause
	}
	return cause, nil
}

// stage reads a blob into a staged file of the target store.
func (c *copier) stage(ctx context.Context, key string) (*blob, error) {
	file, err := c.to.Stage()
	if err != nil {
		return nil, err
	}
	b := &blob{key: key, file: file}
	b.bytes, b.sum, b.fault, err = hash(ctx, c.from, key, file)
	if err != nil || b.fault != nil {
		c.to.Discard(file)
	}
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", key, err)
	}
	return b, nil
}

// copy copies a group of blobs that is small enough to be made durable together, and reads
// each back from the target. Blobs that cannot be read at the source are returned with
// their fault.
func (c *copier) copy(ctx context.Context, keys []string) (copied map[string]*blob, err error) {
	blobs := make([]*blob, len(keys))
	reading, readCtx := errgroup.WithContext(ctx)
	reading.SetLimit(readsAtOnce)
	for i, key := range keys {
		reading.Go(func() (err error) {
			blobs[i], err = c.stage(readCtx, key)
			return err
		})
	}
	err = reading.Wait()
	copied = make(map[string]*blob, len(blobs))
	var names []string
	var files []*os.File
	for _, b := range blobs {
		switch {
		case b == nil || b.fault != nil:
		case err != nil:
			c.to.Discard(b.file)
		default:
			names, files = append(names, b.key), append(files, b.file)
		}
		if b != nil {
			copied[b.key] = b
		}
	}
	if err != nil || len(names) == 0 {
		return copied, err
	}
	if err := c.to.Put(ctx, names, files); err != nil {
		for _, file := range files {
			c.to.Discard(file)
		}
		return nil, archive.StorageError(err)
	}
	return copied, c.readBack(ctx, copied)
}

// readBack reads the copied blobs from the target and compares their hashes.
func (c *copier) readBack(ctx context.Context, copied map[string]*blob) error {
	reading, ctx := errgroup.WithContext(ctx)
	reading.SetLimit(readsAtOnce)
	for _, b := range copied {
		if b.fault != nil {
			continue
		}
		reading.Go(func() error {
			_, sum, fault, err := hash(ctx, c.to, b.key, nil)
			if err = errors.Join(err, fault); err != nil {
				return fmt.Errorf("read %s back: %w", b.key, err)
			}
			if sum != b.sum {
				return fmt.Errorf("%s was read back with the SHA-256 %x, but had %x before: the store that it was moved to has damaged it", b.key, sum, b.sum)
			}
			return nil
		})
	}
	return reading.Wait()
}

// differs reports whether the blobs under a key differ between the two stores.
func (c *copier) differs(ctx context.Context, key string) (bool, error) {
	_, theirs, fault, err := hash(ctx, c.from, key, nil)
	if err != nil || fault != nil {
		return true, err
	}
	_, ours, fault, err := hash(ctx, c.to, key, nil)
	return fault != nil || theirs != ours, err
}

// copyRest copies all blobs that the target lacks, folder by folder. If equal is set, blobs
// that the target has are compared, and copied if they differ. broken are those that cannot
// be read.
func (c *copier) copyRest(ctx context.Context, equal bool) (copied int, broken []*blob, err error) {
	var folder string
	var keys []string
	flush := func() error {
		wanted, err := c.missing(ctx, folder, keys, equal)
		for key := range wanted {
			done, err := c.copy(ctx, []string{key})
			switch {
			case err != nil:
				return err
			case done[key].fault == nil:
				copied++
			case !errors.Is(done[key].fault, fs.ErrNotExist): // otherwise it was deleted since it was listed
				broken = append(broken, done[key])
			}
		}
		keys = keys[:0]
		return err
	}
	for key, err := range c.from.Keys(ctx, "") {
		if err != nil {
			return copied, broken, err
		}
		if path.Dir(key) != folder {
			if err := flush(); err != nil {
				return copied, broken, err
			}
			folder = path.Dir(key)
		}
		keys = append(keys, key)
	}
	return copied, broken, flush()
}

// missing returns those keys of a folder whose blobs the target lacks or, if equal is set,
// has with other bytes.
func (c *copier) missing(ctx context.Context, folder string, keys []string, equal bool) (map[string]bool, error) {
	wanted := map[string]bool{}
	for _, key := range keys {
		wanted[key] = true
	}
	if len(keys) == 0 {
		return wanted, nil
	}
	prefix := folder + "/"
	if folder == "." {
		prefix = ""
	}
	for key, err := range c.to.Keys(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		if !wanted[key] {
			continue
		}
		other := false
		if equal {
			if other, err = c.differs(ctx, key); err != nil {
				return nil, err
			}
		}
		if !other {
			delete(wanted, key)
		}
	}
	return wanted, nil
}
