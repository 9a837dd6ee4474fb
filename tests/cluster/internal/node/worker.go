package node

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"time"
)

const containerdSocket = "/run/containerd/containerd.sock"

// startNode starts what runs pods, and waits until a pod could be scheduled.
func startNode(options Options, supervisor supervisor) error {
	if err := supervisor.keep("containerd", "containerd", "--config="+options.path("containerd.toml")); err != nil {
		return err
	}
	if err := until("containerd", time.Minute, func() error { return containerd("version") }); err != nil {
		return err
	}
	for _, archive := range options.Images {
		if err := Import(archive); err != nil {
			return err
		}
	}
	if err := supervisor.keep("kubelet", options.Kube, kubeletArguments(options)...); err != nil {
		return err
	}
	if err := supervisor.keep("proxy", options.Kube, proxyArguments(options)...); err != nil {
		return err
	}
	if err := kubectl(options, "apply", "--server-side", "--filename="+options.path("dns", "role.yaml")); err != nil {
		return err
	}
	if err := supervisor.keep("dns", options.CoreDNS, "-conf="+options.path("dns", "Corefile")); err != nil {
		return err
	}
	return waitForNode(options)
}

// Import puts the images of an archive where the kubelet finds them. It works inside of the cluster's namespaces.
func Import(archive string) error {
	return containerd("--namespace=k8s.io", "images", "import", archive)
}

func waitForNode(options Options) error {
	err := until("default service account", time.Minute, func() error {
		return kubectl(options, "get", "--namespace=default", "serviceaccount", "default")
	})
	if err != nil {
		return err
	}
	err = until("node registered", time.Minute, func() error { return kubectl(options, "get", "node", Name) })
	if err != nil {
		return err
	}
	return kubectl(options, "wait", "--for=condition=Ready", "--timeout=120s", "node/"+Name)
}

func installKinds(options Options) error {
	// Every file but the list for kustomize.
	manifests, err := filepath.Glob(filepath.Join(options.Kinds, "gateway.*.yaml"))
	if err != nil {
		return err
	}
	arguments := []string{"apply", "--server-side"}
	for _, manifest := range manifests {
		arguments = append(arguments, "--filename="+manifest)
	}
	if err := kubectl(options, arguments...); err != nil {
		return err
	}
	return kubectl(options, "wait", "--for=condition=Established", "--timeout=60s", "--all", "customresourcedefinitions")
}

func kubeletArguments(options Options) []string {
	return []string{
		"kubelet",
		"--config=" + options.path("kubelet", "config.yaml"),
		"--kubeconfig=" + options.path("pki", "kubelet.kubeconfig"),
		"--root-dir=" + options.path("kubelet"),
		"--cert-dir=" + options.path("kubelet", "pki"),
		"--hostname-override=" + Name,
		"--node-ip=" + options.addresses().Node,
	}
}

func proxyArguments(options Options) []string {
	return []string{
		"proxy",
		"--kubeconfig=" + options.path("pki", "proxy.kubeconfig"),
		"--proxy-mode=nftables",
		"--cluster-cidr=" + options.addresses().Pods,
		"--hostname-override=" + Name,
		"--healthz-bind-address=127.0.0.1:10256",
		"--metrics-bind-address=127.0.0.1:10249",
		// Zero leaves the kernel's connection tracking, which all namespaces share, as it is.
		"--conntrack-max-per-core=0",
		"--conntrack-tcp-timeout-established=0",
		"--conntrack-tcp-timeout-close-wait=0",
	}
}

func containerd(arguments ...string) error {
	return run("ctr", append([]string{"--address=" + containerdSocket}, arguments...)...)
}

func kubectl(options Options, arguments ...string) error {
	identity := "--kubeconfig=" + options.path(AdministratorFile)
	return run(options.Kube, append([]string{"kubectl", identity}, arguments...)...)
}

func run(program string, arguments ...string) error {
	output, err := exec.Command(program, arguments...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %v: %w: %s", program, arguments, err, output)
	}
	return nil
}
