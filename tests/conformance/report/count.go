package main

import (
	"fmt"
	"slices"

	v1 "sigs.k8s.io/gateway-api/conformance/apis/v1"
	"sigs.k8s.io/gateway-api/conformance/tests"
	"sigs.k8s.io/gateway-api/conformance/utils/suite"
)

// run is what the judge wrote of the events of go test.
type run struct {
	Tests []struct {
		Name    string `json:"name"`
		Outcome string `json:"outcome"`
	} `json:"tests"`
}

// profiles that a report may have.
var profiles = []suite.ConformanceProfile{suite.GatewayHTTPConformanceProfile, suite.GatewayGRPCConformanceProfile}

// count is how many tests of one level passed and failed.
type count struct{ passed, failed int }

// differences are sentences about where the report and the events disagree.
func differences(report v1.ConformanceReport, seen run) []error {
	var found []error
	outcomes := map[string]string{}
	for _, test := range seen.Tests {
		outcomes[test.Name] = test.Outcome
		if test.Outcome == "unfinished" {
			found = append(found, fmt.Errorf("%s did not end", test.Name))
		}
	}
	if len(report.ProfileReports) == 0 {
		found = append(found, fmt.Errorf("it has no profile"))
	}
	for _, written := range report.ProfileReports {
		at := slices.IndexFunc(profiles, func(p suite.ConformanceProfile) bool { return string(p.Name) == written.Name })
		if at < 0 {
			found = append(found, fmt.Errorf("profile %s is not known", written.Name))
			continue
		}
		core, extended := counts(profiles[at], outcomes)
		found = append(found, compare(written.Name+" core", written.Core, core)...)
		status := v1.Status{}
		if written.Extended != nil {
			status = written.Extended.Status
		}
		found = append(found, compare(written.Name+" extended", status, extended)...)
	}
	return found
}

func compare(level string, written v1.Status, seen count) []error {
	var found []error
	for _, pair := range []struct {
		what          string
		written, seen int
	}{
		{"passed", int(written.Passed), seen.passed},
		{"failed", int(written.Failed), seen.failed},
	} {
		if pair.written != pair.seen {
			found = append(found, fmt.Errorf("%s: %d %s, go test saw %d", level, pair.written, pair.what, pair.seen))
		}
	}
	return found
}

// counts goes through all tests of the suite: a test counts for a profile that has all of its features, as extended where
// one of them is.
func counts(profile suite.ConformanceProfile, outcomes map[string]string) (core, extended count) {
	for _, test := range tests.ConformanceTests {
		isOfProfile, isCore := true, true
		for _, feature := range test.Features {
			isCore = isCore && profile.CoreFeatures.Has(feature)
			isOfProfile = isOfProfile && (profile.CoreFeatures.Has(feature) || profile.ExtendedFeatures.Has(feature))
		}
		if !isOfProfile {
			continue
		}
		level := &extended
		if isCore {
			level = &core
		}
		switch outcomes[test.ShortName] {
		case "passed":
			level.passed++
		case "failed":
			level.failed++
		}
	}
	return core, extended
}
