package s3

import (
	"context"
	"fmt"
	"iter"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

// Keys yields the keys of all blobs that begin with prefix, in byte order.
func (s *Store) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		options := minio.ListObjectsOptions{Prefix: s.Prefix + prefix, Recursive: true}
		for info := range s.client.ListObjectsIter(ctx, s.Bucket, options) {
			if info.Err != nil {
				yield("", fmt.Errorf("list blobs: %w", translate(info.Err)))
				return
			}
			key := strings.TrimPrefix(info.Key, s.Prefix)
			if hidden(key) || strings.HasSuffix(key, "/") { // some tools create objects for folders
				continue
			}
			if !yield(key, nil) {
				return
			}
		}
		if ctx.Err() != nil {
			yield("", ctx.Err())
		}
	}
}

// Link returns a URL at which anybody can read the blob until it expires. The store's
// answer carries the given headers.
func (s *Store) Link(ctx context.Context, key string, lives time.Duration, header map[string]string) (*url.URL, error) {
	name, err := s.object(key)
	if err != nil {
		return nil, err
	}
	query := url.Values{}
	for header, value := range header {
		query.Set("response-"+strings.ToLower(header), value)
	}
	link, err := s.client.PresignedGetObject(ctx, s.Bucket, name, lives, query)
	if err != nil {
		return nil, fmt.Errorf("link to %s: %w", key, err)
	}
	return link, nil
}
