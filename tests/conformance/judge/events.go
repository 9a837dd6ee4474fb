package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// event is a line of `go tool test2json`, see `go doc test2json`.
type event struct {
	Action  string
	Test    string
	Elapsed float64
	Output  string
}

// Outcome of a test.
type outcome string

const (
	passed  outcome = "passed"
	failed  outcome = "failed"
	skipped outcome = "skipped"
	// unfinished is a test that was started and of which no end was seen.
	unfinished outcome = "unfinished"
)

// result is how one test of the suite went, with all of its cases.
type result struct {
	Name    string  `json:"name"`
	Outcome outcome `json:"outcome"`
	Seconds float64 `json:"seconds"`
	// Parallel says that the test was put off and went on later, beside others.
	Parallel bool `json:"parallel"`
	// Cases that the test ran below its own name.
	Cases int `json:"cases"`
	// FailedCases are their names below the test's.
	FailedCases []string `json:"failedCases,omitempty"`
	output      strings.Builder
}

// run is one run of the suite.
type run struct {
	// Outcome of the suite as a whole: it fails where its setup does.
	Outcome outcome   `json:"outcome"`
	Seconds float64   `json:"seconds"`
	Tests   []*result `json:"tests"`
	byName  map[string]*result
}

// readRun reads a stream of events and shows the suite's own output as it comes.
func readRun(stream io.Reader, show io.Writer) (*run, error) {
	read := &run{Outcome: unfinished, byName: map[string]*result{}}
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var next event
		if err := json.Unmarshal(lines.Bytes(), &next); err != nil {
			// What is printed beside the events, such as the end of the cluster's program.
			fmt.Fprintln(show, lines.Text())
			continue
		}
		if next.Action == "output" {
			io.WriteString(show, next.Output)
		}
		read.add(next)
	}
	return read, lines.Err()
}

// add takes an event into account. A test's path is TestConformance/<test>/<case>….
func (r *run) add(next event) {
	if next.Test == "" {
		return
	}
	_, below, inside := strings.Cut(next.Test, "/")
	if !inside {
		if ended, ok := end(next.Action); ok {
			r.Outcome, r.Seconds = ended, next.Elapsed
		}
		return
	}
	name, inner, isCase := strings.Cut(below, "/")
	if isCase {
		r.test(name).addCase(inner, next)
		return
	}
	r.test(name).add(next)
}

func (r *run) test(name string) *result {
	known, found := r.byName[name]
	if !found {
		known = &result{Name: name, Outcome: unfinished}
		r.byName[name] = known
		r.Tests = append(r.Tests, known)
	}
	return known
}

func (r *result) add(next event) {
	switch next.Action {
	case "pause":
		r.Parallel = true
	case "output":
		r.output.WriteString(next.Output)
	default:
		if ended, ok := end(next.Action); ok {
			r.Outcome, r.Seconds = ended, next.Elapsed
		}
	}
}

func (r *result) addCase(name string, next event) {
	switch next.Action {
	case "run":
		r.Cases++
	case "output":
		r.output.WriteString(next.Output)
	case "fail":
		r.FailedCases = append(r.FailedCases, name)
	}
}

func end(action string) (outcome, bool) {
	switch action {
	case "pass":
		return passed, true
	case "fail":
		return failed, true
	case "skip":
		return skipped, true
	}
	return "", false
}
