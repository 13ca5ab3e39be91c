//go:build !linux && !darwin && !freebsd

package disk

import "errors"

// Free returns errors.ErrUnsupported on this system.
func (s *Store) Free() (int64, error) { return 0, errors.ErrUnsupported }
