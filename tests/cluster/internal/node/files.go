package node

import (
	"embed"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"text/template"

	"cluster/internal/authority"
)

//go:embed files
var files embed.FS

var templates = template.Must(template.ParseFS(files, "files/*"))

// render writes one of the embedded files with the cluster's paths and addresses in it.
func render(name, path string, options Options) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	at := options.addresses()
	values := map[string]string{
		"Address":    at.Node,
		"DNSAddress": at.DNS,
		"Elsewhere":  at.Elsewhere,
		"Every":      at.Every,
		"PauseImage": options.PauseImage,
		"PodRange":   at.Pods,
		"State":      options.State,
	}
	if err := templates.ExecuteTemplate(file, name, values); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return file.Close()
}

func writeFiles(options Options) error {
	for name, path := range map[string]string{
		"Corefile":          options.path("dns", "Corefile"),
		"audit-policy.yaml": options.path("audit-policy.yaml"),
		"bridge.conflist":   options.path("cni", "10-bridge.conflist"),
		"containerd.toml":   options.path("containerd.toml"),
		"dns-role.yaml":     options.path("dns", "role.yaml"),
		"hosts.toml":        options.path("registries", "_default", "hosts.toml"),
		"kubelet.yaml":      options.path("kubelet", "config.yaml"),
	} {
		if err := render(name, path, options); err != nil {
			return err
		}
	}
	return nil
}

// writeIdentities makes the cluster's certificates and kubeconfigs.
func writeIdentities(options Options) error {
	issuer, err := authority.New(options.path("pki"))
	if err != nil {
		return err
	}
	if err := issuer.ServiceAccountKey(); err != nil {
		return err
	}
	addresses := []net.IP{net.ParseIP("127.0.0.1"), net.ParseIP(options.addresses().Node),
		net.ParseIP(options.addresses().Kubernetes)}
	hosts := []string{"localhost", Name, "kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc.cluster.local"}
	for _, subject := range []authority.Subject{
		{File: "apiserver", Name: "kube-apiserver", Hosts: hosts, Addresses: addresses},
		{File: "apiserver-kubelet-client", Name: "kube-apiserver-kubelet-client", Group: "system:masters"},
		{File: "front-proxy-client", Name: "front-proxy-client"},
		{File: "kubelet-server", Name: "system:node:" + Name, Group: "system:nodes", Hosts: hosts, Addresses: addresses},
	} {
		if _, _, err := issuer.Issue(subject); err != nil {
			return err
		}
	}
	for _, subject := range []authority.Subject{
		{File: "controller-manager", Name: "system:kube-controller-manager"},
		{File: "dns", Name: "system:coredns"},
		{File: "kubelet", Name: "system:node:" + Name, Group: "system:nodes"},
		{File: "proxy", Name: "system:kube-proxy"},
		{File: "scheduler", Name: "system:kube-scheduler"},
	} {
		if err := issuer.Kubeconfig(options.path("pki", subject.File+".kubeconfig"), options.server(), subject); err != nil {
			return err
		}
	}
	administrator := authority.Subject{File: "admin", Name: "kubernetes-admin", Group: "system:masters"}
	return issuer.Kubeconfig(options.path(AdministratorFile), options.server(), administrator)
}
