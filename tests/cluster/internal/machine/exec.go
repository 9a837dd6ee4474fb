package machine

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"cluster/internal/image"
)

// Environment is what commands inside of the cluster get besides their own.
func (c Cluster) Environment() []string {
	programs := filepath.Join(c.state, "bin")
	return []string{
		"KUBECONFIG=" + c.Kubeconfig(),
		"CFGW_CLUSTER_STATE=" + c.state,
		"CFGW_KUBECTL=" + filepath.Join(programs, "kubectl"),
		"CFGW_HELM=" + filepath.Join(programs, "helm"),
		"CFGW_CONFORMANCE=" + filepath.Join(programs, "conformance.test"),
		"PATH=" + programs + ":" + os.Getenv("PATH"),
	}
}

// Exec becomes a command that runs inside of the cluster's namespaces, in this working folder.
func (c Cluster) Exec(command []string) error {
	arguments, err := c.enter(command)
	if err != nil {
		return err
	}
	path, err := exec.LookPath(arguments[0])
	if err != nil {
		return err
	}
	return syscall.Exec(path, arguments, os.Environ())
}

// enter is the command line that enters the namespaces before it runs a command.
func (c Cluster) enter(command []string) ([]string, error) {
	first, running := c.first()
	if !running {
		return nil, fmt.Errorf("cluster %s does not run; `tests/cluster/run up %s` starts it", c.name, c.name)
	}
	folder, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	arguments := []string{"nsenter", "--target", strconv.Itoa(first.process),
		"--mount", "--net", "--pid", "--uts", "--ipc", "--", "env", "--chdir=" + folder}
	arguments = append(arguments, c.Environment()...)
	return append(arguments, command...), nil
}

// LoadProgram makes the image of a program of this machine and gives it to the cluster.
func (c Cluster) LoadProgram(reference, binary string) error {
	content, err := image.Program(reference, binary)
	if err != nil {
		return err
	}
	archive := filepath.Join(c.state, "load.tar")
	if err := content.Write(archive); err != nil {
		return err
	}
	defer os.Remove(archive)
	program, err := os.Executable()
	if err != nil {
		return err
	}
	arguments, err := c.enter([]string{program, "import", archive})
	if err != nil {
		return err
	}
	command := exec.Command(arguments[0], arguments[1:]...)
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	return command.Run()
}
