package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7"
)

// Open returns a reader for a blob of size bytes. It sends no request: only Fetch or the
// first Read returns an error if the blob does not exist (fs.ErrNotExist) or does not have
// size bytes.
func (s *Store) Open(ctx context.Context, key string, size int64) (io.ReadSeekCloser, error) {
	name, err := s.object(key)
	if err != nil {
		return nil, err
	}
	return &object{s: s, ctx: ctx, key: key, name: name, size: size}, nil
}

// object is a blob that is being read.
type object struct {
	s         *Store
	ctx       context.Context // Open's, because io.Reader takes none
	key, name string
	size      int64
	at        int64         // where the next Read begins
	body      io.ReadCloser // the answer to the last request, from at on; nil if there is none
}

// Fetch requests exactly the next n bytes, so that the caller knows whether they are
// available before it sends the headers of an answer.
func (o *object) Fetch(n int64) error {
	if n == 0 {
		return nil
	}
	o.drop()
	options := minio.GetObjectOptions{}
	if err := options.SetRange(o.at, o.at+n-1); err != nil {
		return fmt.Errorf("blob %s: %w", o.key, err)
	}
	body, info, header, err := o.s.core.GetObject(o.ctx, o.s.Bucket, o.name, options)
	switch {
	case rangeRefused(err):
		return o.wrongSize()
	case err != nil:
		return fmt.Errorf("blob %s: %w", o.key, translate(err))
	}
	o.body = body
	if info.Size != n || !strings.HasSuffix(header.Get("Content-Range"), "/"+strconv.FormatInt(o.size, 10)) {
		o.drop()
		return o.wrongSize()
	}
	return nil
}

// wrongSize returns the error for an answer that does not fit the blob's size.
func (o *object) wrongSize() error {
	size, err := o.s.Size(o.ctx, o.key)
	if err != nil {
		return err
	}
	if size == o.size {
		return unavailable{fmt.Errorf("blob %s: the store did not answer with the bytes that were requested", o.key)}
	}
	return fmt.Errorf("blob %s has %d bytes, not %d", o.key, size, o.size)
}

// Read reads the next bytes.
func (o *object) Read(p []byte) (int, error) {
	if o.at >= o.size {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	if o.body == nil {
		if err := o.Fetch(o.size - o.at); err != nil {
			return 0, err
		}
	}
	n, err := o.body.Read(p)
	o.at += int64(n)
	switch {
	case errors.Is(err, io.EOF):
		o.drop() // the end of what was fetched need not be the end of the blob
		if n == 0 {
			err = io.ErrUnexpectedEOF
		} else {
			err = nil
		}
	case err != nil:
		err = fmt.Errorf("blob %s: %w", o.key, translate(err))
	}
	return n, err
}

// Seek sets where the next Read begins.
func (o *object) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += o.at
	case io.SeekEnd:
		offset += o.size
	}
	if offset < 0 {
		return 0, fmt.Errorf("blob %s: seek to %d, before its beginning", o.key, offset)
	}
	if offset != o.at {
		o.drop()
	}
	o.at = offset
	return offset, nil
}

// Close ends the request under way.
func (o *object) Close() error {
	o.drop()
	return nil
}

func (o *object) drop() {
	if o.body != nil {
		_ = o.body.Close() // only read from
		o.body = nil
	}
}
