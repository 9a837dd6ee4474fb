// Package zone turns the suite's hostnames into hostnames of one zone, so that its tests need nothing of the edge but what
// Cloudflare's has: requests go to hostnames that records lead to, instead of to a Gateway's address.
//
// Each Gateway has a subdomain of the zone, as it had an address. A hostname of a listener or a route gets that subdomain
// behind it, and a listener of any hostname is one of any hostname below the subdomain: so which listener is more specific,
// and which hostnames intersect, stays as it was.
package zone

import (
	"fmt"
	"hash/fnv"
	"net"
	"strings"
)

// Gateway names a Gateway.
type Gateway struct{ Namespace, Name string }

// suffix is the subdomain of a Gateway: a hash, as a name may fill a label.
func (g Gateway) suffix(zone string) string {
	sum := fnv.New32a()
	fmt.Fprintf(sum, "%s/%s", g.Namespace, g.Name)
	return fmt.Sprintf("g%08x.%s", sum.Sum32(), zone)
}

// below is a hostname, with or without a port, in a subdomain. An address, or no hostname, is the subdomain's own name `any`.
func below(host, address, suffix string) string {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = host, ""
	}
	if name == "" || name == address {
		name = "any"
	}
	name += "." + suffix
	if port == "" {
		return name
	}
	return net.JoinHostPort(name, port)
}

// without undoes below.
func without(host, address, suffix string) string {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = host, ""
	}
	name, found := strings.CutSuffix(name, "."+suffix)
	if !found {
		return host
	}
	if name == "any" {
		name = address
	}
	if port == "" {
		return name
	}
	return net.JoinHostPort(name, port)
}
