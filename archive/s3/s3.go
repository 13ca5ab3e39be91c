// Package s3 stores blobs as objects in a bucket of any S3-compatible store.
//
// It knows keys and bytes, not what they mean. It promises that a blob is there whole or
// not at all; that when Put returns, the store has confirmed the blob with the hash of what
// was sent; and that bytes are requested only once: opening a blob sends no request, and
// reading it sends one.
//
// Any number of processes may use the same bucket and prefix.
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

// The limits of one request: its answer must begin within answerTime, bytes of the request
// or the answer must move within stallTime, and a failing request is tried tries times in
// all. An idle connection is closed after idleTime, before it would count as stalled.
const (
	connectTime = 5 * time.Second
	answerTime  = 10 * time.Second
	stallTime   = 30 * time.Second
	idleTime    = 25 * time.Second
	tries       = 2
	// putsAtOnce is how many blobs are sent at the same time.
	putsAtOnce = 16
	// idleConns is how many connections are kept for later requests.
	idleConns = 256
)

// Store is the objects in a bucket whose names begin with a prefix.
type Store struct {
	client      *minio.Client
	core        minio.Core
	connections *http.Transport
	Location
}

// Open opens the store at place, whose bucket must exist, and aborts old uploads that
// killed processes have left unfinished.
func Open(ctx context.Context, place Location) (*Store, error) {
	s, err := At(place)
	if err != nil {
		return nil, err
	}
	if err := s.Ready(ctx); err != nil {
		return nil, err
	}
	return s, s.abortOldUploads(ctx)
}

// At returns the store at place without sending it any request.
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

// abandoned is the age at which an unfinished upload is no longer under way.
const abandoned = 24 * time.Hour

// abortOldUploads aborts multipart uploads that were abandoned: the store keeps their
// parts, and charges for them, until then. Without the permission to list or abort uploads
// it does nothing.
func (s *Store) abortOldUploads(ctx context.Context) error {
	for upload := range s.client.ListIncompleteUploads(ctx, s.Bucket, s.Prefix, true) {
		switch {
		case upload.Err != nil && refused(upload.Err):
			return nil
		case upload.Err != nil:
			return fmt.Errorf("list unfinished uploads to %s: %w", s, translate(upload.Err))
		case time.Since(upload.Initiated) < abandoned:
			continue
		}
		if err := s.core.AbortMultipartUpload(ctx, s.Bucket, upload.Key, upload.UploadID); err != nil && !refused(err) && !missing(err) {
			return fmt.Errorf("abort the unfinished upload of %s: %w", upload.Key, translate(err))
		}
	}
	return nil
}

// Below returns the store of the blobs in a folder of this one. If the folder's name begins
// with a dot, this store does not list them.
func (s *Store) Below(folder string) *Store {
	below := *s
	below.Prefix = s.Prefix + folder + "/"
	return &below
}

// Close closes idle connections.
func (s *Store) Close() error {
	s.connections.CloseIdleConnections()
	return nil
}

// Ready returns an error unless the store answers, accepts our keys, and has the bucket.
func (s *Store) Ready(ctx context.Context) error {
	there, err := s.client.BucketExists(ctx, s.Bucket)
	switch {
	case err != nil:
		return fmt.Errorf("audio store %s: %w", s, translate(err))
	case !there:
		return unavailable{fmt.Errorf("audio store %s: there is no bucket %q; create it first", s, s.Bucket)}
	}
	return nil
}

// object returns the name of a blob's object, and refuses what is not a key. The parts of a
// key, between slashes, are not empty and do not begin with a dot.
func (s *Store) object(key string) (string, error) {
	if path.Clean(key) != key || key == "" || strings.HasPrefix(key, "/") || hidden(key) {
		return "", fmt.Errorf("%q is not a blob's key", key)
	}
	return s.Prefix + key, nil
}

// hidden reports whether a part of the key begins with a dot, as no blob's key does.
func hidden(key string) bool { return strings.HasPrefix(key, ".") || strings.Contains(key, "/.") }

// Size returns the size of a blob in bytes, or fs.ErrNotExist if the bucket exists but not
// the blob.
func (s *Store) Size(ctx context.Context, key string) (int64, error) {
	name, err := s.object(key)
	if err != nil {
		return 0, err
	}
	info, err := s.client.StatObject(ctx, s.Bucket, name, minio.StatObjectOptions{})
	if err = translate(err); errors.Is(err, fs.ErrNotExist) { // the answer to HEAD does not say whether the bucket is missing
		if away := s.Ready(ctx); away != nil {
			err = away
		}
	}
	if err != nil {
		return 0, fmt.Errorf("blob %s: %w", key, err)
	}
	return info.Size, nil
}

// Delete removes a blob. It is not an error if there is none.
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
