//go:build !unix

package owner

import "os"

// of tells nothing: there are no such owners here.
func of(os.FileInfo) (uid, gid int, ok bool) { return 0, 0, false }
