package main

import (
	"encoding/json"
	"encoding/xml"
	"os"
	"strings"
	"unicode/utf8"
)

// kept is how much of a failed test's output a file has, from its end.
const kept = 64 << 10

func writeJSON(path string, run *run) error {
	text, err := json.MarshalIndent(run, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// suite and testCase are the parts of JUnit's format that readers agree on.
type suite struct {
	XMLName  xml.Name   `xml:"testsuite"`
	Name     string     `xml:"name,attr"`
	Tests    int        `xml:"tests,attr"`
	Failures int        `xml:"failures,attr"`
	Skipped  int        `xml:"skipped,attr"`
	Seconds  float64    `xml:"time,attr"`
	Cases    []testCase `xml:"testcase"`
}

type testCase struct {
	Name    string  `xml:"name,attr"`
	Class   string  `xml:"classname,attr"`
	Seconds float64 `xml:"time,attr"`
	Failure *reason `xml:"failure,omitempty"`
	Skipped *reason `xml:"skipped,omitempty"`
}

type reason struct {
	Message string `xml:"message,attr,omitempty"`
	Text    string `xml:",chardata"`
}

func writeJUnit(path string, run *run) error {
	document := suite{Name: "gateway-api-conformance", Tests: len(run.Tests), Seconds: run.Seconds}
	for _, known := range run.Tests {
		one := testCase{Name: known.Name, Class: document.Name, Seconds: known.Seconds}
		switch known.Outcome {
		case skipped:
			document.Skipped++
			one.Skipped = &reason{}
		case failed, unfinished:
			document.Failures++
			message := string(known.Outcome)
			if len(known.FailedCases) > 0 {
				message += ": " + strings.Join(known.FailedCases, ", ")
			}
			one.Failure = &reason{Message: message, Text: tail(known.output.String())}
		}
		document.Cases = append(document.Cases, one)
	}
	text, err := xml.MarshalIndent(document, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append([]byte(xml.Header), append(text, '\n')...), 0o644)
}

// tail is the end of a text, cut between characters.
func tail(text string) string {
	if len(text) <= kept {
		return text
	}
	text = text[len(text)-kept:]
	for len(text) > 0 && !utf8.RuneStart(text[0]) {
		text = text[1:]
	}
	return text
}
