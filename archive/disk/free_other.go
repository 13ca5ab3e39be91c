//go:build !linux && !darwin && !freebsd

package disk

import "errors"

// Free is not known here.
func (s *Store) Free() (int64, error) { return 0, errors.ErrUnsupported }
