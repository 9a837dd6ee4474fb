// Package machine starts and ends clusters on this machine: each is one process in namespaces of its own, and a folder
// of files.
package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"cluster/internal/artifact"
	"cluster/internal/node"
)

// Cluster is a cluster by its name, running or not.
type Cluster struct {
	name  string
	state string
}

var validName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// Named finds a cluster's place; it need not exist.
func Named(name string) (Cluster, error) {
	if !validName.MatchString(name) {
		return Cluster{}, fmt.Errorf("name %q: lower-case letters, digits and inner dashes, 32 at most", name)
	}
	cache, err := artifact.Cache()
	return Cluster{name: name, state: filepath.Join(cache, "clusters", name)}, err
}

// State is the folder of the cluster's files.
func (c Cluster) State() string { return c.state }

// Kubeconfig is the path of an administrator's kubeconfig. It is of use inside of the namespaces only.
func (c Cluster) Kubeconfig() string { return filepath.Join(c.state, node.AdministratorFile) }

// Check says why a cluster cannot run on this machine, or nothing.
func Check() error {
	if runtime.GOOS != "linux" {
		return errors.New("the test cluster needs Linux")
	}
	if os.Getuid() != 0 {
		return errors.New("the test cluster needs root: it makes namespaces, mounts and control groups")
	}
	missing := artifact.MissingPackages()
	if len(missing) > 0 && !exists("/usr/bin/apt-get") {
		return fmt.Errorf("the test cluster needs %s", strings.Join(missing, ", "))
	}
	return nil
}

// identity tells a process from a later one with the same id: its id and its start time in ticks since boot.
type identity struct {
	process int
	started string
}

func (c Cluster) pidFile() string { return filepath.Join(c.state, "pid") }

// first is the first process of a running cluster.
func (c Cluster) first() (identity, bool) {
	text, err := os.ReadFile(c.pidFile())
	if err != nil {
		return identity{}, false
	}
	id, started, found := strings.Cut(strings.TrimSpace(string(text)), " ")
	process, err := strconv.Atoi(id)
	if err != nil || !found {
		return identity{}, false
	}
	recorded := identity{process: process, started: started}
	return recorded, recorded.alive()
}

func (i identity) alive() bool {
	state, started, err := stat(i.process)
	return err == nil && started == i.started && state != "Z"
}

// stat reads the state and the start time of a process: fields 3 and 22 of /proc/<id>/stat, counted after the name in
// parentheses, which may contain spaces (proc(5)).
func stat(process int) (state, started string, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", process))
	if err != nil {
		return "", "", err
	}
	_, rest, found := strings.Cut(string(text[strings.LastIndexByte(string(text), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if !found || len(fields) < 20 {
		return "", "", fmt.Errorf("/proc/%d/stat is not as expected", process)
	}
	return fields[0], fields[19], nil
}

func (c Cluster) record(process int) error {
	_, started, err := stat(process)
	if err != nil {
		return err
	}
	return os.WriteFile(c.pidFile(), fmt.Appendf(nil, "%d %s\n", process, started), 0o644)
}

func (i identity) kill() error {
	if err := syscall.Kill(i.process, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
		return err
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
