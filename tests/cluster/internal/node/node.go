// Package node is the inside of a cluster's namespaces: its first process, the network, the mounts, and the components
// of Kubernetes under supervision.
package node

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Addresses of every cluster. They mean nothing outside of its network namespace, so all clusters have the same.
const (
	// Name of the node.
	Name = "node1"
	// Address of the node; tests start the stand-in's name server on its port 53.
	Address = "10.10.0.2"
	// PodRange is what pods get addresses from.
	PodRange = "10.244.0.0/24"
	// ServiceRange is what Services get addresses from.
	ServiceRange = "10.96.0.0/16"
	// KubernetesAddress is the Service of the API server.
	KubernetesAddress = "10.96.0.1"
	// DNSAddress is where pods ask for names. It is no Service: kube-proxy drops what goes to an unknown one.
	DNSAddress = "10.10.0.53"
	// TunnelRange is local to the node: a stand-in edge can listen at each of its addresses.
	TunnelRange = "10.20.0.0/16"
	// Server is the API server's URL.
	Server = "https://" + Address + ":6443"
)

// Options of a cluster, given to its first process as JSON.
type Options struct {
	// State is the folder of the cluster's files.
	State string
	// Kube, CoreDNS: paths of the programs.
	Kube    string
	CoreDNS string
	// Images are archives that containerd imports before the node starts.
	Images []string
	// PauseImage holds the sandbox of each pod.
	PauseImage string
	// Kinds is a folder of CustomResourceDefinitions that are installed; none if empty.
	Kinds string
	// Owned says that the cluster ends with the process that the first open file after the standard three stands for.
	Owned bool
}

// Files of the state folder that others read.
const (
	// ReadyFile exists once the cluster can be used.
	ReadyFile = "ready"
	// AdministratorFile is the kubeconfig of a cluster administrator.
	AdministratorFile = "admin.kubeconfig"
	// AuditFile is the API server's audit log, a JSON object a line.
	AuditFile = "audit.log"
)

func (o Options) path(parts ...string) string {
	return filepath.Join(append([]string{o.State}, parts...)...)
}

// First is the first process of the process namespace. It only starts the program again, to run the node, and collects
// the processes that lost their parents; it ends with the node, and everything in the namespaces ends with it.
func First(options Options, program string, arguments []string) error {
	if err := privateMounts(); err != nil {
		return err
	}
	if options.Owned {
		syscall.CloseOnExec(ownerFile)
		go endWithOwner()
	}
	child, err := os.StartProcess(program, append([]string{program}, arguments...),
		&os.ProcAttr{Files: []*os.File{nil, os.Stdout, os.Stderr}})
	if err != nil {
		return err
	}
	for {
		var status syscall.WaitStatus
		ended, err := syscall.Wait4(-1, &status, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait: %w", err)
		}
		if ended == child.Pid {
			return fmt.Errorf("the node ended: status %d", status.ExitStatus())
		}
	}
}

// Run boots the node and supervises it for ever.
func Run(options Options) error {
	began := time.Now()
	step := func(what string) { fmt.Printf("%5.1f s  %s\n", time.Since(began).Seconds(), what) }
	if err := prepare(options); err != nil {
		return err
	}
	supervisor := newSupervisor(options.State)
	if err := startControlPlane(options, supervisor); err != nil {
		return err
	}
	step("API server ready")
	if err := startNode(options, supervisor); err != nil {
		return err
	}
	step("node Ready")
	if options.Kinds != "" {
		if err := installKinds(options); err != nil {
			return err
		}
		step("Gateway API installed")
	}
	if err := os.WriteFile(options.path(ReadyFile), nil, 0o644); err != nil {
		return err
	}
	select {}
}

func prepare(options Options) error {
	if err := setUpNetwork(); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	if err := setUpMounts(options); err != nil {
		return fmt.Errorf("mounts: %w", err)
	}
	if err := writeFiles(options); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	if err := writeIdentities(options); err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	return nil
}
