package node

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// setUpNetwork gives the empty network namespace a loopback, the node's own interface and local routes. There is no
// default route: nothing can leave.
func setUpNetwork(options Options) error {
	at := options.addresses()
	commands := []string{
		"link set lo up",
		// One end is the node's interface; the other end only has to exist.
		"link add node0 type veth peer name node1",
		"addr add " + at.Node + at.NodePrefix + " dev node0 " + at.AtOnce,
		"link set node0 up",
		"link set node1 up",
		// A connection to a Service needs a route before kube-proxy's rules can redirect it.
		"route add " + at.Services + " dev node0 src " + at.Node,
		"addr add " + at.DNS + at.Single + " dev lo " + at.AtOnce,
	}
	for _, tunnels := range tunnelRanges {
		commands = append(commands, "route add local "+tunnels+" dev lo")
	}
	for _, arguments := range commands {
		output, err := exec.Command("ip", strings.Fields(arguments)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %s: %w: %s", arguments, err, output)
		}
	}
	for name, value := range map[string]string{
		"net/ipv4/ip_forward":                 "1",
		"net/ipv4/ip_unprivileged_port_start": "0",
		"net/ipv6/conf/all/forwarding":        "1",
		// A local route alone lets nobody listen at an IPv6 address.
		"net/ipv6/ip_nonlocal_bind": "1",
	} {
		if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0o644); err != nil {
			return err
		}
	}
	return nil
}
