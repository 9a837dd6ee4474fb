package zone

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"
	v1 "sigs.k8s.io/gateway-api/apis/v1"
)

// Routes are those that a test makes by itself: they too get their hostnames in the subdomain of each of their Gateways.
type Routes struct {
	client.Client
	Zone string
}

// Create makes an object; those of manifests are unstructured, and their hostnames are in the zone already.
func (r *Routes) Create(ctx context.Context, object client.Object, options ...client.CreateOption) error {
	switch route := object.(type) {
	case *v1.HTTPRoute:
		route.Spec.Hostnames = r.inZone(route.Namespace, route.Spec.ParentRefs, route.Spec.Hostnames)
	case *v1.GRPCRoute:
		route.Spec.Hostnames = r.inZone(route.Namespace, route.Spec.ParentRefs, route.Spec.Hostnames)
	}
	return r.Client.Create(ctx, object, options...)
}

func (r *Routes) inZone(namespace string, parents []v1.ParentReference, hostnames []v1.Hostname) []v1.Hostname {
	var below []v1.Hostname
	for _, parent := range parents {
		of := Gateway{namespace, string(parent.Name)}
		if parent.Namespace != nil {
			of.Namespace = string(*parent.Namespace)
		}
		suffix := of.suffix(r.Zone)
		for _, host := range hostnames {
			below = append(below, v1.Hostname(fmt.Sprintf("%s.%s", host, suffix)))
		}
	}
	return below
}
