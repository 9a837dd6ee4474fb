// Package artifact builds what a cluster is made of (programs, container images, lists of Gateway API kinds) and keeps
// each under a hash of what it was built from.
package artifact

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// Artifact is one program that is built out of a Go module of this repository.
type Artifact struct {
	// Name of the file.
	Name string
	// Module is the folder of the module, below the repository.
	Module string
	// Package that is built, as the module names it.
	Package string
	// Test says that the program is the test binary of the package.
	Test bool
	// LinkerFlags are -X settings of the linker.
	LinkerFlags []string
}

// Programs of a cluster.
var (
	Kube        = Artifact{Name: "kube", Module: "tests/cluster/kube", Package: ".", LinkerFlags: kubernetesVersion()}
	CoreDNS     = Artifact{Name: "coredns", Module: "tests/cluster/coredns", Package: "."}
	Helm        = Artifact{Name: "helm", Module: "tests/cluster/helm", Package: "helm.sh/helm/v3/cmd/helm", LinkerFlags: helmVersion()}
	Pause       = Artifact{Name: "pause", Module: "tests/cluster", Package: "./pause"}
	Conformance = Artifact{Name: "conformance.test", Module: "tests/conformance", Package: ".", Test: true}
	EchoBasic   = Artifact{Name: "echo-basic", Module: "tests/conformance/echo", Package: "sigs.k8s.io/gateway-api/conformance/echo-basic"}
)

// Programs that only some tests run, as pods, or on the node (KubeRouter); Program builds them.
var (
	KubeRouter    = Artifact{Name: "kube-router", Module: "tests/cluster/kube-router", Package: "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router"}
	Metrics       = Artifact{Name: "metrics", Module: "tests/metrics", Package: "."}
	MetricsServer = Artifact{Name: "metrics-server", Module: "tests/metrics", Package: "sigs.k8s.io/metrics-server/cmd/metrics-server"}
	Recommender   = Artifact{Name: "recommender", Module: "tests/metrics", Package: "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender"}
)

// All programs of a cluster, the longest build first.
var All = []Artifact{Kube, Conformance, EchoBasic, CoreDNS, Helm, Pause}

// Repository is the root folder of the checkout that this program was built from.
func Repository() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Clean(filepath.Join(filepath.Dir(file), "../../../.."))
}

// Cache is where artifacts and the state of clusters are kept: shared by all checkouts of this user.
func Cache() (string, error) {
	if folder := os.Getenv("CFGW_CLUSTER_CACHE"); folder != "" {
		return filepath.Abs(folder)
	}
	folder, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(folder, "cfgw-cluster"), nil
}

// Build makes what is missing in the cache: Debian packages, programs, images. One build runs at a time.
func Build() error {
	lock, err := lockCache()
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := installPackages(); err != nil {
		return err
	}
	for _, program := range All {
		if err := program.build(); err != nil {
			return err
		}
	}
	return buildImages()
}

// Program is the path of a program that is no part of every cluster. It is built if the cache lacks it.
func Program(name string) (string, error) {
	for _, program := range []Artifact{Metrics, MetricsServer, Recommender, KubeRouter} {
		if program.Name != name {
			continue
		}
		lock, err := lockCache()
		if err != nil {
			return "", err
		}
		defer lock.Close()
		if err := program.build(); err != nil {
			return "", err
		}
		return program.Path()
	}
	return "", fmt.Errorf("no program %s", name)
}

// lockCache waits until no other build runs. Closing the file lets the next one begin.
func lockCache() (*os.File, error) {
	cache, err := Cache()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(cache, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		lock.Close()
		return nil, fmt.Errorf("lock of the cache: %w", err)
	}
	return lock, nil
}
