package zone

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

const published = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: infra}
spec:
  gatewayClassName: "{GATEWAY_CLASS_NAME}"
  listeners:
  - {name: any, port: 80, protocol: HTTP}
  - {name: one, port: 80, protocol: HTTP, hostname: "*.example.com"}
---
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: more, namespace: team}
spec:
  parentRef: {name: web, namespace: infra}
  listeners: [{name: set, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: cart, namespace: team}
spec:
  parentRefs: [{name: more, kind: ListenerSet}]
  hostnames: [cart.example.com]
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: all, namespace: infra}
spec:
  parentRefs: [{name: web}]
`

func TestHostnamesAreInTheSubdomainOfTheirGateway(t *testing.T) {
	files := fstest.MapFS{base: {Data: []byte(published)}, "tests/README": {Data: []byte("text")}}
	rewritten, err := Manifests(files, "example.net")
	if err != nil {
		t.Fatal(err)
	}
	text, err := fs.ReadFile(rewritten, base)
	if err != nil {
		t.Fatal(err)
	}
	suffix := Gateway{"infra", "web"}.suffix("example.net")
	for _, expected := range []string{
		"hostname: '*." + suffix + "'\n    name: any",
		"hostname: '*.example.com." + suffix + "'\n    name: one",
		"hostname: '*." + suffix + "'\n    name: set",
		"hostname: '*." + suffix + "'\n    name: any-over-tls\n    port: 443\n    protocol: HTTPS",
		"hostnames:\n  - cart.example.com." + suffix + "\n",
		"gatewayClassName: '{GATEWAY_CLASS_NAME}'",
	} {
		if !strings.Contains(string(text), expected) {
			t.Errorf("no %q in:\n%s", expected, text)
		}
	}
	if strings.Count(string(text), "hostnames:") != 1 {
		t.Errorf("a route without hostnames got some:\n%s", text)
	}
}

func TestAHostBelowASubdomainIsFoundAgain(t *testing.T) {
	const address, suffix = "id.cfargotunnel.com", "g1.example.net"
	for host, expected := range map[string]string{
		"":                      "any.g1.example.net",
		address:                 "any.g1.example.net",
		address + ":80":         "any.g1.example.net:80",
		"app.example.com":       "app.example.com.g1.example.net",
		"very.specific.com:123": "very.specific.com.g1.example.net:123",
	} {
		found := below(host, address, suffix)
		if found != expected {
			t.Errorf("%q is %q, expected %q", host, found, expected)
		}
		if back := without(found, address, suffix); back != host && !(host == "" && back == address) {
			t.Errorf("%q is %q again, expected %q", found, back, host)
		}
	}
	if other := without("example.org", address, suffix); other != "example.org" {
		t.Errorf("a host of elsewhere is %q", other)
	}
}

func TestARouteThatATestMakesIsInTheSubdomainsOfItsGateways(t *testing.T) {
	routes := &Routes{Zone: "example.net"}
	made := `{"metadata":{"namespace":"team"},"spec":{"hostnames":["a.example.com"],"parentRefs":[{"name":"one"}]}}`
	found, err := routes.inZone([]byte(made))
	if err != nil {
		t.Fatal(err)
	}
	expected := `"a.example.com.` + Gateway{"team", "one"}.suffix("example.net") + `"`
	if !strings.Contains(string(found), expected) {
		t.Errorf("no %s in %s", expected, found)
	}
	again, err := routes.inZone(found)
	if err != nil || string(again) != string(found) {
		t.Errorf("%s, not %s: %v", again, found, err)
	}
}
