// Command judge reads what `go tool test2json` makes of a run of the conformance suite, says how each test went, and
// holds that against the list of tests that must pass. It does not believe the suite's own report, which counts a test
// that runs in parallel as passed before it ran.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	passing := flag.String("passing", "", "file that lists the tests that must pass")
	only := flag.String("only", "", "the one test that was run")
	folder := flag.String("out", ".", "folder for results.json and junit.xml")
	flag.Parse()
	verdict, err := judge(os.Stdin, *passing, *only, *folder)
	if err != nil {
		fmt.Fprintln(os.Stderr, "judge:", err)
		os.Exit(2)
	}
	fmt.Print(verdict)
	if !verdict.acceptable() {
		os.Exit(1)
	}
}

func judge(events io.Reader, passing, only, folder string) (verdict, error) {
	run, err := readRun(events, os.Stderr)
	if err != nil {
		return verdict{}, err
	}
	expected, err := readPassing(passing)
	if err != nil {
		return verdict{}, err
	}
	if only != "" {
		expected = restrict(expected, only)
	}
	if err := writeJSON(filepath.Join(folder, "results.json"), run); err != nil {
		return verdict{}, err
	}
	if err := writeJUnit(filepath.Join(folder, "junit.xml"), run); err != nil {
		return verdict{}, err
	}
	return weigh(run, expected), nil
}
