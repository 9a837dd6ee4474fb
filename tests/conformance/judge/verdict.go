package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// verdict is a run held against the list of tests that must pass.
type verdict struct {
	run *run
	// lost are tests that must pass and did not.
	lost []string
	// gained are tests that passed and are not in the list.
	gained []string
}

// readPassing reads a list: a test's name a line; # starts a comment.
func readPassing(path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		name, _, _ := strings.Cut(line, "#")
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names, nil
}

// restrict keeps the one name, where it is in the list.
func restrict(names []string, only string) []string {
	if slices.Contains(names, only) {
		return []string{only}
	}
	return nil
}

func weigh(run *run, expected []string) verdict {
	judged := verdict{run: run}
	for _, name := range expected {
		if known, found := run.byName[name]; !found || known.Outcome != passed {
			judged.lost = append(judged.lost, name)
		}
	}
	for _, known := range run.Tests {
		if known.Outcome == passed && !slices.Contains(expected, known.Name) {
			judged.gained = append(judged.gained, known.Name)
		}
	}
	return judged
}

// acceptable says that every test that must pass did, and that the suite came as far as running any test.
func (v verdict) acceptable() bool {
	return len(v.lost) == 0 && len(v.run.Tests) > 0
}

// String is the table that a person reads at the end of a run.
func (v verdict) String() string {
	var text strings.Builder
	counts := map[outcome]int{}
	fmt.Fprintf(&text, "\n== conformance\n")
	for _, known := range v.run.Tests {
		counts[known.Outcome]++
		if known.Outcome == skipped {
			continue
		}
		fmt.Fprintf(&text, "   %-10s %6.1f s  %s", known.Outcome, known.Seconds, known.Name)
		if len(known.FailedCases) > 0 {
			fmt.Fprintf(&text, " (%d of %d cases)", len(known.FailedCases), known.Cases)
		}
		fmt.Fprintln(&text)
	}
	fmt.Fprintf(&text, "   %d passed, %d failed, %d skipped, %d unfinished in %.0f s\n",
		counts[passed], counts[failed], counts[skipped], counts[unfinished], v.run.Seconds)
	if len(v.run.Tests) == 0 {
		fmt.Fprintln(&text, "!! the suite's setup failed: no test ran")
	}
	for _, name := range v.gained {
		fmt.Fprintf(&text, "   passes and is not listed: %s\n", name)
	}
	for _, name := range v.lost {
		fmt.Fprintf(&text, "!! must pass and did not: %s\n", name)
	}
	return text.String()
}
