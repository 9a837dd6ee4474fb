// Package conformance runs the official conformance suite of the Gateway API as it is published: its own clients, its
// own timeouts, its own flags.
package conformance

import (
	"crypto/x509"
	"io/fs"
	"net/http"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/gateway-api/conformance"
	"sigs.k8s.io/gateway-api/conformance/utils/roundtripper"
	"sigs.k8s.io/gateway-api/conformance/utils/suite"
	"sigs.k8s.io/gateway-api/conformance/utils/websocket"

	"conformance/zone"
)

func TestConformance(t *testing.T) {
	options := conformance.DefaultOptions(t)
	if name := os.Getenv("ZONE"); name != "" {
		inZone(t, &options, name)
	}
	conformance.RunConformanceWithOptions(t, options)
}

// With hostnames of one zone in the place of the suite's and of addresses. ZONE_ROOTS is a PEM file.
func inZone(t *testing.T, options *suite.ConformanceOptions, name string) {
	manifests, err := zone.Manifests(&conformance.Manifests, name)
	require.NoError(t, err)
	pem, err := os.ReadFile(os.Getenv("ZONE_ROOTS"))
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(pem))
	clients := &zone.Clients{
		Zone:       name,
		Roots:      roots,
		RootsPEM:   pem,
		Kubernetes: options.Client,
		HTTP:       &roundtripper.DefaultRoundTripper{TimeoutConfig: options.TimeoutConfig},
		WebSocket:  &websocket.DefaultDialer{},
	}
	options.RestConfig.Wrap(func(sends http.RoundTripper) http.RoundTripper {
		return &zone.Routes{RoundTripper: sends, Zone: name}
	})
	options.ManifestFS = []fs.FS{manifests}
	options.RoundTripper, options.GRPCClient, options.WebSocketDialer = clients, clients, clients
}
