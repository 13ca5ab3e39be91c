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

// Open returns a blob of size bytes to be read. Nothing is asked of the store until
// Fetch or the first Read, which tell when it is not there (fs.ErrNotExist) or has
// not size bytes.
func (s *Store) Open(ctx context.Context, key string, size int64) (io.ReadSeekCloser, error) {
	name, err := s.object(key)
	if err != nil {
		return nil, err
	}
	return &object{s: s, ctx: ctx, key: key, name: name, size: size}, nil
}

// object is a blob that is read.
type object struct {
	s         *Store
	ctx       context.Context // of Open: io.Reader has none
	key, name string
	size      int64
	at        int64         // where the next Read reads
	body      io.ReadCloser // stands at at; nil before it is asked for
}

// Fetch asks for the next n bytes and no more, in one request, so that it is known
// whether they can be had before anything is answered with them.
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
	case outside(err):
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

// wrongSize says that the blob is not as long as it should be.
func (o *object) wrongSize() error {
	size, err := o.s.Size(o.ctx, o.key)
	if err != nil {
		return err
	}
	if size == o.size {
		return unavailable{fmt.Errorf("blob %s: the store answers with other bytes than those that were asked for", o.key)}
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
		o.drop() // what was fetched has ended, which need not be the blob's end
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

// Seek says where the next Read reads.
func (o *object) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += o.at
	case io.SeekEnd:
		offset += o.size
	}
	if offset < 0 {
		return 0, fmt.Errorf("blob %s: there is nothing at %d", o.key, offset)
	}
	if offset != o.at {
		o.drop()
	}
	o.at = offset
	return offset, nil
}

// Close ends what is under way.
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
