package node

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"
)

const etcdAddress = "http://127.0.0.1:2379"

// startControlPlane starts everything that needs no node, and waits until the API server is ready.
func startControlPlane(options Options, supervisor supervisor) error {
	for _, component := range []struct {
		name      string
		arguments []string
	}{
		{"etcd", etcdArguments(options)},
		{"apiserver", apiserverArguments(options)},
	} {
		if err := supervisor.keep(component.name, options.Kube, component.arguments...); err != nil {
			return err
		}
	}
	client, err := trusting(options.path("pki", "ca.crt"))
	if err != nil {
		return err
	}
	if err := until("API server ready", time.Minute*2, func() error { return answers(client, options.server()+"/readyz") }); err != nil {
		return err
	}
	if err := supervisor.keep("controller-manager", options.Kube, controllerManagerArguments(options)...); err != nil {
		return err
	}
	return supervisor.keep("scheduler", options.Kube, schedulerArguments(options)...)
}

func etcdArguments(options Options) []string {
	const peers = "http://127.0.0.1:2380"
	return []string{
		"etcd",
		"--name=default",
		"--data-dir=" + options.path("etcd"),
		// What a crash of the machine would lose, a test has no use for.
		"--unsafe-no-fsync",
		"--log-level=warn",
		"--listen-client-urls=" + etcdAddress,
		"--advertise-client-urls=" + etcdAddress,
		"--listen-peer-urls=" + peers,
		"--initial-advertise-peer-urls=" + peers,
		"--initial-cluster=default=" + peers,
	}
}

func apiserverArguments(options Options) []string {
	const issuer = "https://kubernetes.default.svc"
	pki := func(name string) string { return options.path("pki", name) }
	return []string{
		"apiserver",
		"--etcd-servers=" + etcdAddress,
		"--secure-port=6443",
		"--advertise-address=" + options.addresses().Node,
		"--service-cluster-ip-range=" + options.addresses().Services,
		"--allow-privileged=true",
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--profiling=false",
		"--audit-policy-file=" + options.path("audit-policy.yaml"),
		"--audit-log-path=" + options.path(AuditFile),
		"--client-ca-file=" + pki("ca.crt"),
		"--tls-cert-file=" + pki("apiserver.crt"),
		"--tls-private-key-file=" + pki("apiserver.key"),
		"--service-account-key-file=" + pki("sa.key"),
		"--service-account-signing-key-file=" + pki("sa.key"),
		"--service-account-issuer=" + issuer,
		"--api-audiences=" + issuer,
		// The node has no name that could be resolved: logs and exec go by address.
		"--kubelet-preferred-address-types=InternalIP",
		"--kubelet-client-certificate=" + pki("apiserver-kubelet-client.crt"),
		"--kubelet-client-key=" + pki("apiserver-kubelet-client.key"),
		"--proxy-client-cert-file=" + pki("front-proxy-client.crt"),
		"--proxy-client-key-file=" + pki("front-proxy-client.key"),
		"--requestheader-client-ca-file=" + pki("ca.crt"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
	}
}

func controllerManagerArguments(options Options) []string {
	pki := func(name string) string { return options.path("pki", name) }
	return append([]string{
		"controller-manager",
		"--service-account-private-key-file=" + pki("sa.key"),
		"--root-ca-file=" + pki("ca.crt"),
		"--cluster-signing-cert-file=" + pki("ca.crt"),
		"--cluster-signing-key-file=" + pki("ca.key"),
		"--use-service-account-credentials=true",
		"--service-cluster-ip-range=" + options.addresses().Services,
		// A busy machine is not a lost node.
		"--node-monitor-grace-period=5m",
		// Horizontal autoscaling in seconds: how often it looks, and how long it waits before it takes pods away.
		"--horizontal-pod-autoscaler-sync-period=2s",
		"--horizontal-pod-autoscaler-downscale-stabilization=10s",
		"--horizontal-pod-autoscaler-cpu-initialization-period=10s",
		"--horizontal-pod-autoscaler-initial-readiness-delay=5s",
		"--kube-api-qps=200",
		"--kube-api-burst=400",
	}, singleReplica(options, "controller-manager")...)
}

func schedulerArguments(options Options) []string {
	return append([]string{"scheduler"}, singleReplica(options, "scheduler")...)
}

// singleReplica are the settings of a component of which there is one, with its identity.
func singleReplica(options Options, name string) []string {
	identity := options.path("pki", name+".kubeconfig")
	return []string{
		"--kubeconfig=" + identity,
		"--authentication-kubeconfig=" + identity,
		"--authorization-kubeconfig=" + identity,
		"--leader-elect=false",
		"--bind-address=127.0.0.1",
	}
}

func trusting(authority string) (*http.Client, error) {
	text, err := os.ReadFile(authority)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, errors.New("no certificate in " + authority)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	return &http.Client{Transport: transport, Timeout: 2 * time.Second}, nil
}

func answers(client *http.Client, url string) error {
	answer, err := client.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, answer.Status)
	}
	return nil
}

// until tries again and again until it works; past the deadline it fails with the last error.
func until(what string, within time.Duration, try func() error) error {
	deadline := time.Now().Add(within)
	for {
		err := try()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not within %s: %w", what, within, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
