//go:build !unix

package disk

import "os"

func openFile(name string) (*os.File, error) { return os.Open(name) }
