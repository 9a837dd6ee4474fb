package zone

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"strings"
	"testing/fstest"

	"k8s.io/apimachinery/pkg/util/yaml"
	encoded "sigs.k8s.io/yaml"
)

const base = "base/manifests.yaml"

// object is one object of a manifest.
type object = map[string]any

// Manifests are the suite's, with each hostname of a listener or a route in the subdomain of its Gateway, and with HTTPS for
// gRPC, as Cloudflare takes HTTP/2 over TLS only.
func Manifests(published fs.FS, zone string) (fs.FS, error) {
	shared, err := read(published, base)
	if err != nil {
		return nil, err
	}
	rewritten := fstest.MapFS{}
	walk := func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(published, path)
		if err == nil && strings.HasSuffix(path, ".yaml") {
			content, err = rewrite(published, path, shared, zone)
		}
		rewritten[path] = &fstest.MapFile{Data: content}
		return err
	}
	return rewritten, fs.WalkDir(published, ".", walk)
}

func read(published fs.FS, path string) ([]object, error) {
	file, err := published.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	decoder := yaml.NewYAMLOrJSONDecoder(file, 4096)
	var objects []object
	for {
		var found object
		switch err := decoder.Decode(&found); {
		case errors.Is(err, io.EOF):
			return objects, nil
		case err != nil:
			return nil, fmt.Errorf("%s: %w", path, err)
		case found != nil:
			objects = append(objects, found)
		}
	}
}

func rewrite(published fs.FS, path string, shared []object, zone string) ([]byte, error) {
	objects, err := read(published, path)
	if err != nil {
		return nil, err
	}
	sets := listenerSets(append(objects, shared...))
	var out bytes.Buffer
	for _, found := range objects {
		if found["kind"] == "Gateway" {
			overTLS(found, path)
		}
		inZone(found, sets, zone)
		text, err := encoded.Marshal(found)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		fmt.Fprintf(&out, "---\n%s", text)
	}
	return out.Bytes(), nil
}

func inZone(found object, sets map[Gateway]Gateway, zone string) {
	switch found["kind"] {
	case "Gateway":
		listenersIn(found, named(found).suffix(zone))
	case "ListenerSet":
		listenersIn(found, sets[named(found)].suffix(zone))
	case "HTTPRoute", "GRPCRoute":
		routeIn(found, sets, zone)
	}
}

// overTLS turns the HTTP listeners of a test of GRPCRoutes into HTTPS ones, and puts one beside each of a Gateway that tests of
// both kinds of route share.
func overTLS(gateway object, path string) {
	isOfGRPC := strings.HasPrefix(path, "tests/grpcroute-")
	if !isOfGRPC && path != base {
		return
	}
	listeners, _ := spec(gateway)["listeners"].([]any)
	all := listeners
	for _, each := range listeners {
		listener := each.(object)
		if listener["protocol"] != "HTTP" {
			continue
		}
		if !isOfGRPC {
			listener = maps.Clone(listener)
			listener["name"] = text(listener, "name") + "-over-tls"
			all = append(all, listener)
		}
		listener["protocol"], listener["port"] = "HTTPS", 443
	}
	spec(gateway)["listeners"] = all
}

func listenersIn(found object, suffix string) {
	listeners, _ := spec(found)["listeners"].([]any)
	for _, each := range listeners {
		listener := each.(object)
		if protocol := listener["protocol"]; protocol == "TCP" || protocol == "UDP" {
			continue
		}
		if host, _ := listener["hostname"].(string); host != "" {
			listener["hostname"] = host + "." + suffix
		} else {
			listener["hostname"] = "*." + suffix
		}
	}
}

// A route of several Gateways has its hostnames in the subdomain of each.
func routeIn(found object, sets map[Gateway]Gateway, zone string) {
	hostnames, _ := spec(found)["hostnames"].([]any)
	var below []any
	for suffix := range suffixes(found, sets, zone) {
		for _, host := range hostnames {
			below = append(below, fmt.Sprintf("%s.%s", host, suffix))
		}
	}
	if len(below) > 0 {
		spec(found)["hostnames"] = below
	}
}

func suffixes(route object, sets map[Gateway]Gateway, zone string) map[string]bool {
	found := map[string]bool{}
	references, _ := spec(route)["parentRefs"].([]any)
	for _, each := range references {
		reference := each.(object)
		parent := Gateway{text(reference, "namespace"), text(reference, "name")}
		if parent.Namespace == "" {
			parent.Namespace = named(route).Namespace
		}
		if gateway, isSet := sets[parent]; isSet && reference["kind"] == "ListenerSet" {
			parent = gateway
		}
		found[parent.suffix(zone)] = true
	}
	return found
}

// listenerSets says which Gateway each ListenerSet names as its parent.
func listenerSets(objects []object) map[Gateway]Gateway {
	sets := map[Gateway]Gateway{}
	for _, found := range objects {
		if found["kind"] != "ListenerSet" {
			continue
		}
		reference, _ := spec(found)["parentRef"].(object)
		parent := Gateway{text(reference, "namespace"), text(reference, "name")}
		if parent.Namespace == "" {
			parent.Namespace = named(found).Namespace
		}
		sets[named(found)] = parent
	}
	return sets
}

func named(found object) Gateway {
	metadata, _ := found["metadata"].(object)
	return Gateway{text(metadata, "namespace"), text(metadata, "name")}
}

func spec(found object) object {
	spec, _ := found["spec"].(object)
	return spec
}

func text(found object, field string) string {
	value, _ := found[field].(string)
	return value
}
