// Package conformance runs the official conformance suite of the Gateway API as it is published: its own clients, its
// own timeouts, its own flags.
package conformance

import (
	"testing"

	"sigs.k8s.io/gateway-api/conformance"
)

func TestConformance(t *testing.T) {
	conformance.RunConformance(t)
}
