package artifact

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// packages names the Debian package of each program that a node starts.
var packages = map[string]string{
	"containerd": "containerd",
	"ctr":        "containerd",
	"runc":       "runc",
	"nft":        "nftables",
	"conntrack":  "conntrack",
	"ip":         "iproute2",
	"nsenter":    "util-linux",
}

// bridgePlugin is a file of the package containernetworking-plugins.
const bridgePlugin = "/usr/lib/cni/bridge"

// MissingPackages lists the Debian packages that this machine lacks.
func MissingPackages() []string {
	found := map[string]bool{}
	var missing []string
	add := func(name string) {
		if !found[name] {
			found[name] = true
			missing = append(missing, name)
		}
	}
	for program, name := range packages {
		if _, err := exec.LookPath(program); err != nil {
			add(name)
		}
	}
	if !exists(bridgePlugin) {
		add("containernetworking-plugins")
	}
	return missing
}

// installPackages installs what is missing, by name.
func installPackages() error {
	missing := MissingPackages()
	if len(missing) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("please install %s", strings.Join(missing, ", "))
	}
	fmt.Fprintf(os.Stderr, "installing %s\n", strings.Join(missing, ", "))
	install := append([]string{"install", "--yes", "--no-install-recommends", "-qq"}, missing...)
	for _, arguments := range [][]string{{"update", "-qq"}, install} {
		command := exec.Command("apt-get", arguments...)
		command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		command.Stderr = os.Stderr
		if err := command.Run(); err != nil {
			return fmt.Errorf("apt-get %s: %w", arguments[0], err)
		}
	}
	return nil
}
