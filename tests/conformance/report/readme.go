package main

import (
	"fmt"
	"strings"

	v1 "sigs.k8s.io/gateway-api/conformance/apis/v1"
)

// minor is the folder of a release: v1.7 of v1.7.0.
func minor(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// fileName is how the repository names a report.
func fileName(report v1.ConformanceReport) string {
	return fmt.Sprintf("%s-%s-%s-report.yaml", report.GatewayAPIChannel, report.Version, report.Mode)
}

// readme is the README that the repository asks for beside a report.
func readme(report v1.ConformanceReport) string {
	file := fileName(report)
	row := fmt.Sprintf("| %s | [%s](%s/releases/tag/%s) | %s | [%s report](./%s) |",
		report.GatewayAPIChannel, report.Version, report.URL, report.Version, report.Mode, report.Version, file)
	return fmt.Sprintf(text, row, report.Version)
}

const text = `# Cloudflare Gateway controller

An implementation of the Gateway API whose Gateways are Cloudflare Tunnels: each Gateway gets a tunnel, each hostname a
proxied record that leads to it, and a proxy in the cluster, which holds the tunnel's connections, routes every request.

## Table of Contents

| API channel | Implementation version | Mode | Report |
|-------------|------------------------|------|--------|
%s

## What stands in for Cloudflare

Cloudflare's network leads to a tunnel by hostname, for hostnames of the account's own zones, and the hostnames of the
suite are in nobody's zone. So the run goes through a stand-in for Cloudflare that is part of the project's repository:
its API, its name servers, and the edge with the tunnel protocol. The suite runs as published, with its own clients and
timeouts. The stand-in does two things that Cloudflare does not, each by a switch:

- ` + "`--direct-addresses`" + `: a request to the address of a Gateway goes to the tunnel of that Gateway, whatever its host;
- ` + "`--tell-arrivals`" + `: port 8090 is open, and the proxy is told the port, the TLS server name and the client certificate
  of each request, and may have a connection closed. The GatewayClass claims HTTPRouteParentRefPort,
  GatewayHTTPSListenerDetectMisdirectedRequests, GatewayFrontendClientCertificateValidation and
  GatewayFrontendClientCertificateValidationInsecureFallback only where the controller is set to have such an edge (` + "`tunnel.edge_tells_arrival`" + `).

Which tests need them is told one by one in docs/conformance.md of the repository.

## Reproduce

On Linux, as root, with Go and Rust (a Kubernetes of one node is built from the Go module proxy and booted by the command
itself):

1. Clone the repository and check out the tag ` + "`%s`" + `.
2. Run ` + "`make report`" + `. It runs the suite in a cluster of its own, holds the suite's report against the events of
   ` + "`go test -json`" + `, and writes report and README to ` + "`.cache/conformance/reports`" + `.
`
