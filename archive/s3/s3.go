// Package s3 keeps blobs as objects of a bucket in any S3-compatible store.
//
// It knows keys and bytes, not what they mean. It promises that a blob is there
// whole or not at all, that one which was put was confirmed by the store with the
// hash of what was sent, and that bytes are asked for once: opening a blob asks
// for nothing, reading it is one request.
//
// Any number of processes may use one bucket and prefix.
package s3

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// The bounds of one request: an answer must begin within answerTime, bytes of it or
// of the request must move within stallTime, and a request that fails is tried so
// often in all. A connection that stands idle is given up before it counts as stalled.
const (
	connectTime = 5 * time.Second
	answerTime  = 10 * time.Second
	stallTime   = 30 * time.Second
	idleTime    = 25 * time.Second
	tries       = 2
	// abreast is how many blobs are sent side by side.
	abreast = 16
	// idleConns is how many connections are kept for the next request.
	idleConns = 256
)

// Store is the objects of a bucket below a prefix.
type Store struct {
	client      *minio.Client
	core        minio.Core
	connections *http.Transport
	Location
}

// Open opens the place, which must be there already, and ends uploads that
// processes which were killed have left half done.
func Open(ctx context.Context, place Location) (*Store, error) {
	s, err := At(place)
	if err != nil {
		return nil, err
	}
	if err := s.Ready(ctx); err != nil {
		return nil, err
	}
	return s, s.endHalfUploads(ctx)
}

// At is the store at a place of which nothing is asked yet.
func At(place Location) (*Store, error) {
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           connect,
		TLSHandshakeTimeout:   connectTime,
		ResponseHeaderTimeout: answerTime,
		MaxIdleConns:          idleConns,
		MaxIdleConnsPerHost:   idleConns,
		IdleConnTimeout:       idleTime,
		DisableCompression:    true,
	}
	client, err := minio.New(place.Endpoint, &minio.Options{
		Creds: credentials.NewChainCredentials([]credentials.Provider{
			&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{},
		}),
		Secure: place.Secure, Region: place.Region, Transport: transport, MaxRetries: tries,
	})
	if err != nil {
		return nil, fmt.Errorf("audio store %s: %w", place, err)
	}
	return &Store{client: client, core: minio.Core{Client: client}, connections: transport, Location: place}, nil
}

// halfDone is the age from which on nobody is still at work on an upload.
const halfDone = 24 * time.Hour

// endHalfUploads ends uploads in parts that nobody goes on with: the store keeps,
// and charges for, their parts until then. Who may not list them need not.
func (s *Store) endHalfUploads(ctx context.Context) error {
	for upload := range s.client.ListIncompleteUploads(ctx, s.Bucket, s.Prefix, true) {
		switch {
		case upload.Err != nil && refused(upload.Err):
			return nil
		case upload.Err != nil:
			return fmt.Errorf("half uploads to %s: %w", s, translate(upload.Err))
		case time.Since(upload.Initiated) < halfDone:
			continue
		}
		if err := s.core.AbortMultipartUpload(ctx, s.Bucket, upload.Key, upload.UploadID); err != nil && !refused(err) && !missing(err) {
			return fmt.Errorf("half upload of %s: %w", upload.Key, translate(err))
		}
	}
	return nil
}

// Below is the store of the blobs below a folder, whose name may begin with a dot:
// then they are none of this store's.
func (s *Store) Below(folder string) *Store {
	below := *s
	below.Prefix = s.Prefix + folder + "/"
	return &below
}

// Close ends the connections.
func (s *Store) Close() error {
	s.connections.CloseIdleConnections()
	return nil
}

// Ready tells whether the store answers, lets us in, and has the bucket.
func (s *Store) Ready(ctx context.Context) error {
	there, err := s.client.BucketExists(ctx, s.Bucket)
	switch {
	case err != nil:
		return fmt.Errorf("audio store %s: %w", s, translate(err))
	case !there:
		return unavailable{fmt.Errorf("audio store %s: there is no bucket %q; make it first", s, s.Bucket)}
	}
	return nil
}

// object is the name of a blob's object; a key has parts between slashes, none
// empty, none beginning with a dot.
func (s *Store) object(key string) (string, error) {
	if path.Clean(key) != key || key == "" || strings.HasPrefix(key, "/") || hidden(key) {
		return "", fmt.Errorf("%q is not a blob's key", key)
	}
	return s.Prefix + key, nil
}

// hidden tells whether a part of the key begins with a dot: none of a blob's does.
func hidden(key string) bool { return strings.HasPrefix(key, ".") || strings.Contains(key, "/.") }

// Size is the number of bytes of a blob; fs.ErrNotExist when it is not there, though
// the bucket is.
func (s *Store) Size(ctx context.Context, key string) (int64, error) {
	name, err := s.object(key)
	if err != nil {
		return 0, err
	}
	info, err := s.client.StatObject(ctx, s.Bucket, name, minio.StatObjectOptions{})
	if err = translate(err); errors.Is(err, fs.ErrNotExist) { // an answer to HEAD does not say what is missing
		if away := s.Ready(ctx); away != nil {
			err = away
		}
	}
	if err != nil {
		return 0, fmt.Errorf("blob %s: %w", key, err)
	}
	return info.Size, nil
}

// Delete removes a blob. One that is not there is no error.
func (s *Store) Delete(ctx context.Context, key string) error {
	name, err := s.object(key)
	if err != nil {
		return err
	}
	err = s.client.RemoveObject(ctx, s.Bucket, name, minio.RemoveObjectOptions{})
	if err = translate(err); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete blob %s: %w", key, err)
	}
	return nil
}
