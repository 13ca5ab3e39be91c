package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// fewFiles is how many files or folders at most are synced one by one.
const fewFiles = 8

// syncFileSystem makes everything on the file system of file durable.
func syncFileSystem(file *os.File) error {
	return os.NewSyscallError("syncfs", unix.Syncfs(int(file.Fd())))
}
