package s3

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"github.com/minio/minio-go/v7"
)

// unavailable is a store that cannot be reached, or that asks for patience.
type unavailable struct{ error }

// Unavailable tells that trying again later may help.
func (unavailable) Unavailable() bool { return true }

func (u unavailable) Unwrap() error { return u.error }

// translate gives an error of the library the meaning that callers look for:
// fs.ErrNotExist, or Unavailable.
func translate(err error) error {
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return err
	case missing(err):
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	var answer minio.ErrorResponse
	if errors.As(err, &answer) && answer.StatusCode != 0 && answer.StatusCode < http.StatusInternalServerError &&
		answer.StatusCode != http.StatusTooManyRequests && answer.StatusCode != http.StatusRequestTimeout {
		return err // it has understood, and refuses
	}
	return unavailable{err}
}

// missing tells whether the store has answered that an object, or an upload, is
// not there.
func missing(err error) bool {
	var answer minio.ErrorResponse
	return errors.As(err, &answer) && (answer.Code == "NoSuchKey" || answer.Code == "NoSuchUpload" ||
		answer.StatusCode == http.StatusNotFound && answer.Code != "NoSuchBucket")
}

// refused tells whether the store does not let us, or does not know how.
func refused(err error) bool {
	var answer minio.ErrorResponse
	return errors.As(err, &answer) && (answer.StatusCode == http.StatusForbidden || answer.StatusCode == http.StatusNotImplemented ||
		answer.StatusCode == http.StatusMethodNotAllowed)
}

// outside tells whether the store has answered that a range lies outside.
func outside(err error) bool {
	var answer minio.ErrorResponse
	return errors.As(err, &answer) && answer.StatusCode == http.StatusRequestedRangeNotSatisfiable
}
