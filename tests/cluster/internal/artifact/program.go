package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Version of Kubernetes that the module in tests/cluster/kube requires. The components report it.
const Version = "v1.36.3"

// toolchain lets go get the release that a module's go.mod asks for, where this one is older.
const toolchain = "GOTOOLCHAIN=auto"

// kubernetesVersion lists the settings without which the components report v0.0.0.
func kubernetesVersion() []string {
	var flags []string
	minor := strings.Split(Version, ".")[1]
	for _, name := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		flags = append(flags,
			"-X="+name+".gitVersion="+Version,
			"-X="+name+".gitMajor=1",
			"-X="+name+".gitMinor="+minor,
			"-X="+name+".gitTreeState=clean",
			"-X="+name+".buildDate=1970-01-01T00:00:00Z")
	}
	return flags
}

// helmVersion lists the settings without which helm believes in a Kubernetes of long ago when it renders a chart.
func helmVersion() []string {
	var flags []string
	minor := strings.Split(Version, ".")[1]
	for _, name := range []string{"chartutil", "lint/rules"} {
		name = "helm.sh/helm/v3/pkg/" + name
		flags = append(flags, "-X="+name+".k8sVersionMajor=1", "-X="+name+".k8sVersionMinor="+minor)
	}
	return flags
}

// Path of the built program in the cache.
func (a Artifact) Path() (string, error) {
	cache, err := Cache()
	if err != nil {
		return "", err
	}
	hash, err := a.hash()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, hash, a.Name), nil
}

// hash covers the files of the module that the package is built from, the flags and the Go release.
func (a Artifact) hash() (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, a.Package, a.Test, a.LinkerFlags, runtime.Version(), runtime.GOARCH)
	module := filepath.Join(Repository(), a.Module)
	folder := module
	if strings.HasPrefix(a.Package, "./") {
		folder = filepath.Join(module, a.Package)
	}
	files := []string{filepath.Join(module, "go.mod"), filepath.Join(module, "go.sum")}
	sources, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		return "", err
	}
	for _, name := range append(files, sources...) {
		text, err := os.ReadFile(name)
		if err != nil && !os.IsNotExist(err) {
			return "", err
		}
		fmt.Fprintln(sum, filepath.Base(name), len(text))
		if _, err := sum.Write(text); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil))[:16], nil
}

// build compiles the program, unless the cache has it.
func (a Artifact) build() error {
	path, err := a.Path()
	if err != nil {
		return err
	}
	if exists(path) {
		return nil
	}
	fmt.Fprintf(os.Stderr, "building %s\n", a.Name)
	began := time.Now()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	verb := []string{"build"}
	if a.Test {
		verb = []string{"test", "-c"}
	}
	partial := path + ".partial"
	arguments := append(verb, "-mod=readonly", "-trimpath",
		"-ldflags=-s -w "+strings.Join(a.LinkerFlags, " "), "-o", partial, a.Package)
	// Statically linked: the same file runs on this machine and alone in an image.
	command := exec.Command("nice", append([]string{"go"}, arguments...)...)
	command.Dir = filepath.Join(Repository(), a.Module)
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false", toolchain)
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("build of %s: %w", a.Name, err)
	}
	fmt.Fprintf(os.Stderr, "built %s in %.0f s\n", a.Name, time.Since(began).Seconds())
	return os.Rename(partial, path)
}

// GatewayKinds is the folder with the CustomResourceDefinitions of a channel of the Gateway API (standard or
// experimental), in the release that the conformance suite is of, or in another: standard@v1.6.1.
func GatewayKinds(channel string) (string, error) {
	const module = "sigs.k8s.io/gateway-api"
	channel, release, another := strings.Cut(channel, "@")
	arguments := []string{"list", "-mod=readonly", "-m", "-f", "{{.Dir}}", module}
	if another {
		arguments = []string{"mod", "download", "-json", module + "@" + release}
	}
	command := exec.Command("go", arguments...)
	command.Dir = filepath.Join(Repository(), Conformance.Module)
	command.Env = append(os.Environ(), toolchain)
	told, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("folder of the Gateway API module: %w", err)
	}
	folder := strings.TrimSpace(string(told))
	if another {
		var downloaded struct{ Dir string }
		if err := json.Unmarshal(told, &downloaded); err != nil {
			return "", fmt.Errorf("folder of the Gateway API module: %w", err)
		}
		folder = downloaded.Dir
	}
	return filepath.Join(folder, "config", "crd", channel), nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !os.IsNotExist(err)
}
