package machine

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"cluster/internal/artifact"
	"cluster/internal/node"
)

// bootTime is how long a cluster may take to boot: five seconds are usual, a busy machine takes more.
const bootTime = 5 * time.Minute

// Wish is what a cluster is started with.
type Wish struct {
	// Channel of the Gateway API whose kinds are installed; none if empty.
	Channel string
	// Owner is a process that the cluster ends with; 0 for none.
	Owner int
}

// Up boots a cluster and returns once it can be used. What clusters that were killed left behind goes away first.
func (c Cluster) Up(wish Wish) error {
	if err := Check(); err != nil {
		return err
	}
	if _, running := c.first(); running {
		return fmt.Errorf("cluster %s runs already", c.name)
	}
	if err := artifact.Build(); err != nil {
		return err
	}
	if err := c.Down(); err != nil {
		return err
	}
	if err := removeDead(filepath.Dir(c.state)); err != nil {
		return err
	}
	options, err := c.options(wish.Channel)
	if err != nil {
		return err
	}
	if err := c.linkPrograms(); err != nil {
		return err
	}
	if err := c.start(options, wish.Owner); err != nil {
		return err
	}
	return c.waitUntilReady()
}

func (c Cluster) options(channel string) (node.Options, error) {
	options := node.Options{State: c.state, PauseImage: artifact.PauseImage, IPv6: os.Getenv("CLUSTER_FAMILY") == "ipv6"}
	var err error
	if options.Kube, err = artifact.Kube.Path(); err != nil {
		return options, err
	}
	if options.CoreDNS, err = artifact.CoreDNS.Path(); err != nil {
		return options, err
	}
	if channel != "" {
		if options.Kinds, err = artifact.GatewayKinds(channel); err != nil {
			return options, err
		}
	}
	for _, base := range artifact.BaseImages {
		archive, err := base.Archive()
		if err != nil {
			return options, err
		}
		options.Images = append(options.Images, archive)
	}
	return options, nil
}

// linkPrograms makes a folder of what people and tests call inside of the cluster.
func (c Cluster) linkPrograms() error {
	folder := filepath.Join(c.state, "bin")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for name, program := range map[string]artifact.Artifact{
		"kubectl":          artifact.Kube,
		"helm":             artifact.Helm,
		"conformance.test": artifact.Conformance,
	} {
		path, err := program.Path()
		if err != nil {
			return err
		}
		if err := os.Symlink(path, filepath.Join(folder, name)); err != nil {
			return err
		}
	}
	return nil
}

// start runs this program again as the first process of new namespaces. An owner is passed on as an open file: no id of
// the machine means anything inside.
func (c Cluster) start(options node.Options, owner int) error {
	options.Owned = owner != 0
	text, err := json.Marshal(options)
	if err != nil {
		return err
	}
	log, err := os.Create(c.bootLog())
	if err != nil {
		return err
	}
	defer log.Close()
	program, err := os.Executable()
	if err != nil {
		return err
	}
	command := exec.Command(program, "first", string(text))
	command.Dir = "/"
	command.Stdout, command.Stderr = log, log
	if owner != 0 {
		file, err := openProcess(owner)
		if err != nil {
			return err
		}
		defer file.Close()
		command.ExtraFiles = []*os.File{file}
	}
	command.SysProcAttr = &syscall.SysProcAttr{
		Setsid: true,
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID |
			syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
	}
	if err := command.Start(); err != nil {
		return err
	}
	// Collected here, so that an early end is seen; later it belongs to whoever adopts it.
	go command.Wait()
	return c.record(command.Process.Pid)
}

func (c Cluster) bootLog() string { return filepath.Join(c.state, "boot.log") }

func (c Cluster) waitUntilReady() error {
	deadline := time.Now().Add(bootTime)
	for !exists(filepath.Join(c.state, node.ReadyFile)) {
		if _, running := c.first(); !running || time.Now().After(deadline) {
			text, _ := os.ReadFile(c.bootLog())
			return fmt.Errorf("cluster %s did not boot; logs are in %s/log:\n%s", c.name, c.state, text)
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil
}
