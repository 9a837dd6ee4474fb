// Package node is the inside of a cluster's namespaces: its first process, the network, the mounts, and the components
// of Kubernetes under supervision.
package node

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Addresses of every cluster. They mean nothing outside of its network namespace, so all clusters have the same.
type addresses struct {
	// Node: tests start the stand-in's name server on its port 53.
	Node string
	// Pods is what pods get addresses from.
	Pods string
	// Services is what Services get addresses from.
	Services string
	// Kubernetes is the Service of the API server.
	Kubernetes string
	// DNS is where pods ask for names. It is no Service: kube-proxy drops what goes to an unknown one.
	DNS string
	// Every stands for all addresses.
	Every string
	// Elsewhere is the route to all addresses.
	Elsewhere string
	// NodePrefix, Single: lengths of prefixes, of the node's network and of one address.
	NodePrefix, Single string
	// AtOnce lets an address be used before anybody was asked whether it is free.
	AtOnce string
}

// Name of the node.
const Name = "node1"

// tunnelRanges are local to the node: a stand-in edge can listen at each of their addresses.
var tunnelRanges = []string{"10.20.0.0/16", "fd00:10:20::/64"}

var ipv4 = addresses{
	Node: "10.10.0.2", Pods: "10.244.0.0/24", Services: "10.96.0.0/16", Kubernetes: "10.96.0.1",
	DNS: "10.10.0.53", Every: "0.0.0.0", Elsewhere: "0.0.0.0/0", NodePrefix: "/24", Single: "/32",
}

var ipv6 = addresses{
	Node: "fd00:10:10::2", Pods: "fd00:10:244::/64", Services: "fd00:10:96::/112", Kubernetes: "fd00:10:96::1",
	DNS: "fd00:10:10::53", Every: "::", Elsewhere: "::/0", NodePrefix: "/64", Single: "/128", AtOnce: "nodad",
}

func (o Options) addresses() addresses {
	if o.IPv6 {
		return ipv6
	}
	return ipv4
}

// server is the API server's URL.
func (o Options) server() string {
	return "https://" + net.JoinHostPort(o.addresses().Node, "6443")
}

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
	// IPv6 says that pods, Services and the node have IPv6 addresses and no others.
	IPv6 bool
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
	if err := setUpNetwork(options); err != nil {
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
