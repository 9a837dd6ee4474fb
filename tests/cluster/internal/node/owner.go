package node

import (
	"os"
	"syscall"
	"unsafe"
)

// ownerFile is the open file that stands for the owner of a cluster that has one: the first after the standard three.
const ownerFile = 3

// request is struct pollfd of poll(2).
type request struct {
	file            int32
	events, answers int16
}

const readable = 1

// endWithOwner ends this process, and so the cluster, when the owner does: pidfd_open(2) makes the file readable then.
func endWithOwner() {
	for {
		wanted := request{file: ownerFile, events: readable}
		ready, _, failure := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&wanted)), 1, 0, 0, 0, 0)
		if failure == syscall.EINTR || failure == syscall.EAGAIN {
			continue
		}
		if failure == 0 && ready == 1 && wanted.answers&readable != 0 {
			os.Exit(1)
		}
		return
	}
}
