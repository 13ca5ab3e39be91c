package s3

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"github.com/minio/minio-go/v7"
)

// unavailable is a store that cannot be reached, that asks for patience, or that lets
// nobody in: with keys that are good no more it refuses what it has, and that says
// nothing of a blob.
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
	if !errors.As(err, &answer) || answer.Code == noBucket || mayPass[answer.Code] {
		return unavailable{err}
	}
	switch status := answer.StatusCode; {
	case status == 0, status >= http.StatusInternalServerError:
		return unavailable{err}
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return unavailable{err}
	}
	return err // it has understood, and cannot
}

// noBucket is the code of an answer that says that the bucket itself is not there.
const noBucket = "NoSuchBucket"

// mayPass are the codes of answers with the status 400 that are not about what was
// asked: keys that hold for a while and were not renewed, a connection on which
// nothing came. The last is that of an answer to HEAD, which says no more.
var mayPass = map[string]bool{
	"ExpiredToken": true, "InvalidToken": true, "TokenRefreshRequired": true, "RequestTimeout": true, "400 Bad Request": true,
}

// missing tells whether the store has answered that an object, or an upload, is
// not there.
func missing(err error) bool {
	var answer minio.ErrorResponse
	return errors.As(err, &answer) && (answer.Code == "NoSuchKey" || answer.Code == "NoSuchUpload" ||
		answer.StatusCode == http.StatusNotFound && answer.Code != noBucket)
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
