package zone

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"testing"
	"time"

	"golang.org/x/net/websocket"
	grpclib "google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"sigs.k8s.io/controller-runtime/pkg/client"
	v1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/gateway-api/conformance/utils/grpc"
	"sigs.k8s.io/gateway-api/conformance/utils/roundtripper"
)

// Clients are the suite's own, with hostnames of the zone in place of addresses of Gateways.
type Clients struct {
	Zone  string
	Roots *x509.CertPool
	// RootsPEM are the same as they are written.
	RootsPEM []byte
	// Kubernetes says whose address an address is.
	Kubernetes client.Client
	HTTP       roundtripper.RoundTripper
	WebSocket  interface {
		Dial(url, protocol, origin string) (*websocket.Conn, error)
	}
}

// suffix is the subdomain of the Gateway that has this address.
func (c *Clients) suffix(address string) (string, error) {
	var gateways v1.GatewayList
	if err := c.Kubernetes.List(context.Background(), &gateways); err != nil {
		return "", err
	}
	for _, gateway := range gateways.Items {
		for _, found := range gateway.Status.Addresses {
			if found.Value == address {
				return Gateway{gateway.Namespace, gateway.Name}.suffix(c.Zone), nil
			}
		}
	}
	return "", fmt.Errorf("no Gateway has the address %s", address)
}

// CaptureRoundTrip sends to a hostname what was meant for an address, and tells of the answer in the suite's names.
func (c *Clients) CaptureRoundTrip(request roundtripper.Request) (*roundtripper.CapturedRequest, *roundtripper.CapturedResponse, error) {
	address := request.URL.Hostname()
	suffix, err := c.suffix(address)
	if err != nil {
		return nil, nil, err
	}
	request.Host = below(request.Host, address, suffix)
	request.URL.Host = atPort(request.Host, request.URL.Port())
	if request.ServerName != "" {
		request.ServerName = below(request.ServerName, address, suffix)
	}
	if request.Protocol == roundtripper.H2CPriorKnowledgeProtocol {
		request = c.overTLS(request)
	}
	echoed, answer, err := c.HTTP.CaptureRoundTrip(request)
	if echoed != nil {
		echoed.Host = without(echoed.Host, address, suffix)
	}
	if answer != nil && answer.RedirectRequest != nil {
		answer.RedirectRequest.Host = without(answer.RedirectRequest.Host, address, suffix)
	}
	return echoed, answer, err
}

// overTLS turns HTTP/2 without TLS into HTTP/2 with it, which alone Cloudflare takes.
func (c *Clients) overTLS(request roundtripper.Request) roundtripper.Request {
	host := request.URL.Hostname()
	request.Protocol, request.ServerName, request.ServerCertificate = roundtripper.H2Protocol, host, c.RootsPEM
	request.URL.Scheme, request.URL.Host = "https", net.JoinHostPort(host, "443")
	return request
}

// SendRPC calls over TLS, as gRPC reaches Cloudflare in no other way.
func (c *Clients) SendRPC(t *testing.T, address string, expected grpc.ExpectedResponse, timeout time.Duration) (*grpc.Response, error) {
	t.Helper()
	gateway, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	suffix, err := c.suffix(gateway)
	if err != nil {
		return nil, err
	}
	authority := ""
	if expected.RequestMetadata != nil {
		authority = expected.RequestMetadata.Authority
	}
	host := below(authority, gateway, suffix)
	secure := credentials.NewTLS(&tls.Config{RootCAs: c.Roots})
	connection, err := grpclib.NewClient("dns:///"+atPort(host, "443"), grpclib.WithTransportCredentials(secure))
	if err != nil {
		return nil, err
	}
	calls := &grpc.DefaultClient{Conn: connection}
	defer calls.Close()
	return calls.SendRPC(t, address, expected, timeout)
}

// Close has nothing to close: each call has a connection of its own.
func (c *Clients) Close() {}

// Dial opens a WebSocket.
func (c *Clients) Dial(target, protocol, origin string) (*websocket.Conn, error) {
	parsed, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	address := parsed.Hostname()
	suffix, err := c.suffix(address)
	if err != nil {
		return nil, err
	}
	parsed.Host = atPort(below("", address, suffix), parsed.Port())
	return c.WebSocket.Dial(parsed.String(), protocol, origin)
}

// atPort is where to dial for a host, whatever port the host names.
func atPort(host, port string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if port == "" {
		return host
	}
	return net.JoinHostPort(host, port)
}
