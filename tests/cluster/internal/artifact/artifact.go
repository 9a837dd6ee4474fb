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
	EchoBasic   = Artifact{Name: "echo-basic", Module: "tests/conformance", Package: "sigs.k8s.io/gateway-api/conformance/echo-basic"}
)

// All programs, the longest build first.
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
	cache, err := Cache()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(cache, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock of the cache: %w", err)
	}
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
