package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Down ends a cluster: one process is killed, and with it go all others, their network and their mounts. Then its files
// and its control groups are removed. A cluster that does not exist is no error.
func (c Cluster) Down() error {
	if first, running := c.first(); running {
		if err := first.kill(); err != nil {
			return err
		}
		deadline := time.Now().Add(30 * time.Second)
		for first.alive() {
			if time.Now().After(deadline) {
				return fmt.Errorf("process %d of cluster %s does not end", first.process, c.name)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	if err := c.removeControlGroups(); err != nil {
		return err
	}
	return os.RemoveAll(c.state)
}

// removeDead removes what killed clusters left in the folder of all clusters. One that is starting has no process yet and
// is left alone.
func removeDead(folder string) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		other := Cluster{name: entry.Name(), state: filepath.Join(folder, entry.Name())}
		if _, running := other.first(); running || !exists(other.pidFile()) {
			continue
		}
		if err := other.Down(); err != nil {
			return err
		}
	}
	return nil
}

// removeControlGroups removes the groups of this cluster's containers. The kernel keeps empty groups, and all clusters
// of a machine have theirs in the same place, so they are known by the containers that this cluster ever ran.
func (c Cluster) removeControlGroups() error {
	containers, err := filepath.Glob(filepath.Join(c.state, "containerd", "io.containerd.runtime.v2.task", "k8s.io", "*"))
	if err != nil {
		return err
	}
	for _, container := range containers {
		groups, err := filepath.Glob("/sys/fs/cgroup/*/k8s.io/" + filepath.Base(container))
		if err != nil {
			return err
		}
		groups = append(groups, "/sys/fs/cgroup/k8s.io/"+filepath.Base(container))
		for _, group := range groups {
			if err := removeGroup(group); err != nil {
				return err
			}
		}
	}
	return removeSharedGroups()
}

// removeSharedGroups removes the parent of the containers' groups, where no other cluster has one in it.
func removeSharedGroups() error {
	groups, err := filepath.Glob("/sys/fs/cgroup/*/k8s.io")
	if err != nil {
		return err
	}
	for _, group := range append(groups, "/sys/fs/cgroup/k8s.io") {
		err := os.Remove(group)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.EBUSY) {
			return err
		}
	}
	return nil
}

// removeGroup removes a group and the groups in it. A process that was just killed may leave it a moment later.
func removeGroup(group string) error {
	inner, err := os.ReadDir(group)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range inner {
		if entry.IsDir() {
			if err := removeGroup(filepath.Join(group, entry.Name())); err != nil {
				return err
			}
		}
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := os.Remove(group)
		if err == nil || errors.Is(err, fs.ErrNotExist) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}
