package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// fewFiles is how many files or folders are synced one by one.
const fewFiles = 8

// syncFileSystem makes all of the file system durable that file is on.
func syncFileSystem(file *os.File) error {
	return os.NewSyscallError("syncfs", unix.Syncfs(int(file.Fd())))
}
