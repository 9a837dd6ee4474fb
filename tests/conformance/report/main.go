// Command report prepares the conformance report for the repository of the Gateway API: it holds the suite's own report
// against the events of `go test`, and writes both the report, unchanged, and its README into a folder as that repository
// has it.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	v1 "sigs.k8s.io/gateway-api/conformance/apis/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	results := flag.String("results", "", "results.json of the judge")
	suite := flag.String("suite", "", "report.yaml of the suite")
	folder := flag.String("out", "", "folder of the reports; the release and the project are folders below it")
	flag.Parse()
	path, err := prepare(*results, *suite, *folder)
	if err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
	fmt.Println(path)
}

// prepare returns the folder that it wrote.
func prepare(results, suite, folder string) (string, error) {
	var seen run
	text, err := os.ReadFile(results)
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(text, &seen); err != nil {
		return "", fmt.Errorf("%s: %w", results, err)
	}
	written, err := os.ReadFile(suite)
	if err != nil {
		return "", err
	}
	var report v1.ConformanceReport
	if err := yaml.UnmarshalStrict(written, &report); err != nil {
		return "", fmt.Errorf("%s: %w", suite, err)
	}
	if err := errors.Join(differences(report, seen)...); err != nil {
		return "", fmt.Errorf("the suite's report is not what go test saw:\n%w", err)
	}
	own := filepath.Join(folder, minor(report.GatewayAPIVersion), report.Project)
	if err := os.MkdirAll(own, 0o755); err != nil {
		return "", err
	}
	// The repository takes it exactly as the suite wrote it.
	if err := os.WriteFile(filepath.Join(own, fileName(report)), written, 0o644); err != nil {
		return "", err
	}
	return own, os.WriteFile(filepath.Join(own, "README.md"), []byte(readme(report)), 0o644)
}
