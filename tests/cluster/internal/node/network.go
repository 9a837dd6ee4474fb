package node

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// setUpNetwork gives the empty network namespace a loopback, the node's own interface and local routes. There is no
// default route: nothing can leave.
func setUpNetwork() error {
	for _, arguments := range []string{
		"link set lo up",
		// One end is the node's interface; the other end only has to exist.
		"link add node0 type veth peer name node1",
		"addr add " + Address + "/24 dev node0",
		"link set node0 up",
		"link set node1 up",
		// A connection to a Service needs a route before kube-proxy's rules can redirect it.
		"route add " + ServiceRange + " dev node0 src " + Address,
		"addr add " + DNSAddress + "/32 dev lo",
		"route add local " + TunnelRange + " dev lo",
	} {
		output, err := exec.Command("ip", strings.Fields(arguments)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %s: %w: %s", arguments, err, output)
		}
	}
	for name, value := range map[string]string{
		"net/ipv4/ip_forward":                 "1",
		"net/ipv4/ip_unprivileged_port_start": "0",
	} {
		if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0o644); err != nil {
			return err
		}
	}
	return nil
}
