package s3

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"github.com/minio/minio-go/v7"
)

// unavailable is the error of a store that cannot be reached, asks the client to wait, or
// refuses access. Refused access says nothing about a blob: with expired keys, a store
// refuses even what it has.
type unavailable struct{ error }

// Unavailable reports that trying again later may help.
func (unavailable) Unavailable() bool { return true }

func (u unavailable) Unwrap() error { return u.error }

// translate turns an error from the library into one that callers understand:
// fs.ErrNotExist, or an error that is Unavailable.
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
	return err // the store refuses this request
}

// noBucket is the code of an answer that says that the bucket does not exist.
const noBucket = "NoSuchBucket"

// mayPass are the codes of answers with status 400 that do not mean that the request was
// wrong: temporary keys have expired, or the connection stalled. The last is what the
// library makes of an answer to HEAD, which has no code.
var mayPass = map[string]bool{
	"ExpiredToken": true, "InvalidToken": true, "TokenRefreshRequired": true, "RequestTimeout": true, "400 Bad Request": true,
}

// missing reports whether the store has answered that an object or an upload does not
// exist.
func missing(err error) bool {
	var answer minio.ErrorResponse
	return errors.As(err, &answer) && (answer.Code == "NoSuchKey" || answer.Code == "NoSuchUpload" ||
		answer.StatusCode == http.StatusNotFound && answer.Code != noBucket)
}

// refused reports whether the store does not permit a request, or does not implement it.
func refused(err error) bool {
	var answer minio.ErrorResponse
	return errors.As(err, &answer) && (answer.StatusCode == http.StatusForbidden || answer.StatusCode == http.StatusNotImplemented ||
		answer.StatusCode == http.StatusMethodNotAllowed)
}

// rangeRefused reports whether the store has answered that a range is not satisfiable.
func rangeRefused(err error) bool {
	var answer minio.ErrorResponse
	return errors.As(err, &answer) && answer.StatusCode == http.StatusRequestedRangeNotSatisfiable
}
