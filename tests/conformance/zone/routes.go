package zone

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// Routes are those that a test makes by itself: on their way to the API server they too get their hostnames in the subdomain of
// each of their Gateways. Those of manifests are in the zone already.
type Routes struct {
	http.RoundTripper
	Zone string
}

// RoundTrip sends a request to the API server.
func (r *Routes) RoundTrip(request *http.Request) (*http.Response, error) {
	isRoute := strings.HasSuffix(request.URL.Path, "/httproutes") || strings.HasSuffix(request.URL.Path, "/grpcroutes")
	if request.Method == http.MethodPost && isRoute {
		written, err := io.ReadAll(request.Body)
		if err != nil {
			return nil, err
		}
		if written, err = r.inZone(written); err != nil {
			return nil, err
		}
		request = request.Clone(request.Context())
		request.Body, request.ContentLength = io.NopCloser(bytes.NewReader(written)), int64(len(written))
	}
	return r.RoundTripper.RoundTrip(request)
}

func (r *Routes) inZone(written []byte) ([]byte, error) {
	var route object
	if err := json.Unmarshal(written, &route); err != nil {
		return nil, err
	}
	hostnames, _ := spec(route)["hostnames"].([]any)
	for _, host := range hostnames {
		if host, _ := host.(string); strings.HasSuffix(host, "."+r.Zone) {
			return written, nil
		}
	}
	routeIn(route, nil, r.Zone)
	return json.Marshal(route)
}
