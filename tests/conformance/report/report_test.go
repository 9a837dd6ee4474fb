package main

import (
	"strings"
	"testing"

	v1 "sigs.k8s.io/gateway-api/conformance/apis/v1"
)

func seen(outcomes map[string]string) run {
	var made run
	for name, outcome := range outcomes {
		made.Tests = append(made.Tests, struct {
			Name    string `json:"name"`
			Outcome string `json:"outcome"`
		}{name, outcome})
	}
	return made
}

func report(core, extended uint32) v1.ConformanceReport {
	profile := v1.ProfileReport{Name: "GATEWAY-HTTP"}
	profile.Core.Passed = core
	profile.Extended = &v1.ExtendedStatus{}
	profile.Extended.Passed = extended
	return v1.ConformanceReport{ProfileReports: []v1.ProfileReport{profile}}
}

func TestAReportIsHeldAgainstWhatGoTestSaw(t *testing.T) {
	// The last belongs to a profile that is not reported.
	events := seen(map[string]string{
		"HTTPRouteWeight": "passed", "HTTPRouteCORS": "passed", "HTTPRouteMatching": "skipped", "GRPCRouteWeight": "passed",
	})
	for _, row := range []struct {
		report v1.ConformanceReport
		told   string
	}{
		{report(1, 1), ""},
		{report(2, 1), "GATEWAY-HTTP core: 2 passed, go test saw 1"},
		{report(1, 0), "GATEWAY-HTTP extended: 0 passed, go test saw 1"},
		{v1.ConformanceReport{}, "no profile"},
	} {
		var told []string
		for _, difference := range differences(row.report, events) {
			told = append(told, difference.Error())
		}
		if all := strings.Join(told, "\n"); !strings.Contains(all, row.told) || (row.told == "") != (all == "") {
			t.Errorf("%v: told %q, not %q", row.report, all, row.told)
		}
	}
}

func TestFilesAreNamedAsTheRepositoryHasThem(t *testing.T) {
	report := v1.ConformanceReport{GatewayAPIVersion: "v1.7.0", GatewayAPIChannel: "experimental", Mode: "default"}
	report.Version = "v0.1.0"
	if name := fileName(report); name != "experimental-v0.1.0-default-report.yaml" {
		t.Error(name)
	}
	if folder := minor(report.GatewayAPIVersion); folder != "v1.7" {
		t.Error(folder)
	}
	if text := readme(report); !strings.Contains(text, "(./experimental-v0.1.0-default-report.yaml) |") {
		t.Error(text)
	}
}
