package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"
)

// Stage returns an empty file for bytes that are to become a blob. The file's name is
// already removed, so that nothing of it outlives the process.
func (s *Store) Stage() (*os.File, error) {
	file, err := os.CreateTemp("", "callvault-")
	if err != nil {
		return nil, fmt.Errorf("stage: %w", err)
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("stage: %w", err), file.Close())
	}
	return file, nil
}

// Discard closes a staged file, which removes it. It does nothing once Put has taken the
// file.
func (s *Store) Discard(file *os.File) { _ = file.Close() } // nothing depends on the error

// Put turns staged files into blobs, files[i] under keys[i], replacing what was there.
// Blobs whose keys differ only in their endings are put in this order, others at the same
// time. When it returns nil, the store has confirmed each; after an error, each is there
// whole or not at all. It closes the files.
func (s *Store) Put(ctx context.Context, keys []string, files []*os.File) error {
	defer func() {
		for _, file := range files {
			s.Discard(file)
		}
	}()
	inOrder := map[string][]int{} // indexes of keys, by key without its ending
	var names []string
	for i, key := range keys {
		name := key[:len(key)-len(path.Ext(key))]
		if inOrder[name] == nil {
			names = append(names, name)
		}
		inOrder[name] = append(inOrder[name], i)
	}
	puts, ctx := errgroup.WithContext(ctx)
	puts.SetLimit(putsAtOnce)
	for _, name := range names {
		puts.Go(func() error {
			for _, i := range inOrder[name] {
				if err := s.put(ctx, keys[i], files[i]); err != nil {
					return fmt.Errorf("put %s: %w", keys[i], err)
				}
			}
			return nil
		})
	}
	return puts.Wait()
}

// put sends one blob, in parts if it is large, each with its MD5. Then it asks the store
// whether it has the blob: the answer to the upload may have come from a proxy.
func (s *Store) put(ctx context.Context, key string, file *os.File) error {
	name, err := s.object(key)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	sent, err := s.client.PutObject(ctx, s.Bucket, name, file, info.Size(), minio.PutObjectOptions{
		SendContentMd5: true, ServerSideEncryption: s.Encryption, StorageClass: s.StorageClass, ContentType: contentType(key),
	})
	if err != nil {
		return translate(err)
	}
	kept, err := s.client.StatObject(ctx, s.Bucket, name, minio.StatObjectOptions{})
	if err != nil {
		return translate(err)
	}
	if kept.Size != info.Size() || kept.ETag != sent.ETag {
		return unavailable{fmt.Errorf("the store has %d bytes of it with the ETag %s, but %d with the ETag %s were sent", kept.Size, kept.ETag, info.Size(), sent.ETag)}
	}
	return nil
}

// contentType returns a blob's media type, for people who use the bucket with other tools.
func contentType(key string) string {
	switch path.Ext(key) {
	case ".opus":
		return "audio/ogg; codecs=opus"
	case ".json":
		return "application/json"
	}
	return "application/octet-stream"
}
