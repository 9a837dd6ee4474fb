// Command cluster runs a true one-node Kubernetes on this machine, for tests and for people: the real components in
// network, process and mount namespaces that nothing can leave and that end with one process.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"cluster/internal/artifact"
	"cluster/internal/machine"
	"cluster/internal/node"
)

const usage = `A one-node Kubernetes on this machine, apart from it.

  cluster check                           says whether a cluster can run here
  cluster build                           makes all programs and images, once
  cluster up [-kinds CHANNEL] [-owner PROCESS] NAME
                                          boots a cluster; CHANNEL of the Gateway API: experimental, standard or none,
                                          of another release than the suite's: standard@v1.6.1;
                                          it ends with PROCESS, if one is given
  cluster exec NAME -- COMMAND            runs a command inside, with KUBECONFIG set and kubectl, helm in PATH
  cluster program PROGRAM                 builds a program that only some tests run, once, and prints its path
  cluster load-image NAME IMAGE PROGRAM   makes an image of a program and its libraries, for pods of the cluster
  cluster kubeconfig NAME                 prints the path of the administrator's kubeconfig
  cluster state NAME                      prints the folder with logs, audit log and settings
  cluster down NAME                       ends a cluster and removes what it left
`

// errUsage is a command line that is none of those above.
var errUsage = errors.New("see usage")

func main() {
	err := run(os.Args[1:])
	if errors.Is(err, errUsage) || errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) == 0 {
		return errUsage
	}
	verb, rest := arguments[0], arguments[1:]
	switch verb {
	case "check":
		return machine.Check()
	case "build":
		return artifact.Build()
	case "program":
		return program(rest)
	case "up":
		return up(rest)
	case "down", "exec", "kubeconfig", "load-image", "state":
		return onCluster(verb, rest)
	case "first", "node", "import":
		return inside(verb, rest)
	}
	return errUsage
}

func program(arguments []string) error {
	if len(arguments) != 1 {
		return errUsage
	}
	path, err := artifact.Program(arguments[0])
	if err != nil {
		return err
	}
	fmt.Println(path)
	return nil
}

func up(arguments []string) error {
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	kinds := flags.String("kinds", "experimental", "channel of the Gateway API that is installed, or none")
	owner := flags.Int("owner", 0, "process that the cluster ends with")
	if err := flags.Parse(arguments); err != nil {
		return errUsage
	}
	if flags.NArg() != 1 {
		return errUsage
	}
	cluster, err := machine.Named(flags.Arg(0))
	if err != nil {
		return err
	}
	wish := machine.Wish{Channel: strings.TrimSuffix(*kinds, "none"), Owner: *owner}
	if err := cluster.Up(wish); err != nil {
		return err
	}
	fmt.Println("KUBECONFIG=" + cluster.Kubeconfig())
	return nil
}

func onCluster(verb string, arguments []string) error {
	if len(arguments) == 0 {
		return errUsage
	}
	cluster, err := machine.Named(arguments[0])
	if err != nil {
		return err
	}
	rest := arguments[1:]
	switch {
	case verb == "down" && len(rest) == 0:
		return cluster.Down()
	case verb == "exec" && len(rest) > 1 && rest[0] == "--":
		return cluster.Exec(rest[1:])
	case verb == "load-image" && len(rest) == 2:
		return cluster.LoadProgram(rest[0], rest[1])
	case verb == "kubeconfig" && len(rest) == 0:
		fmt.Println(cluster.Kubeconfig())
		return nil
	case verb == "state" && len(rest) == 0:
		fmt.Println(cluster.State())
		return nil
	}
	return errUsage
}

// inside handles what this program asks of itself in the namespaces of a cluster.
func inside(verb string, arguments []string) error {
	if len(arguments) != 1 {
		return errUsage
	}
	if verb == "import" {
		return node.Import(arguments[0])
	}
	var options node.Options
	if err := json.Unmarshal([]byte(arguments[0]), &options); err != nil {
		return err
	}
	if verb == "first" {
		program, err := os.Executable()
		if err != nil {
			return err
		}
		return node.First(options, program, []string{"node", arguments[0]})
	}
	return node.Run(options)
}
