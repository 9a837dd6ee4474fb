package main

import (
	"io"
	"slices"
	"strings"
	"testing"
)

// Events of a suite with one test after the other, as test2json prints them.
func events(lines ...string) string { return strings.Join(lines, "\n") }

const (
	suitePassed = `{"Action":"pass","Test":"TestConformance","Elapsed":9}`
	suiteFailed = `{"Action":"fail","Test":"TestConformance","Elapsed":9}`
	runA        = `{"Action":"run","Test":"TestConformance/A"}`
	pauseA      = `{"Action":"pause","Test":"TestConformance/A"}`
	contA       = `{"Action":"cont","Test":"TestConformance/A"}`
	passA       = `{"Action":"pass","Test":"TestConformance/A","Elapsed":2}`
	failA       = `{"Action":"fail","Test":"TestConformance/A","Elapsed":2}`
	skipA       = `{"Action":"skip","Test":"TestConformance/A","Elapsed":0}`
	runCase     = `{"Action":"run","Test":"TestConformance/A/one"}`
	failCase    = `{"Action":"fail","Test":"TestConformance/A/one","Elapsed":1}`
)

func TestAVerdictFollowsWhatWasSeenOfEachTest(t *testing.T) {
	for given, then := range map[string]struct {
		stream     string
		expected   []string
		outcome    outcome
		lost       []string
		gained     []string
		acceptable bool
	}{
		"a listed test that passes": {
			stream: events(runA, passA, suitePassed), expected: []string{"A"},
			outcome: passed, acceptable: true,
		},
		"a parallel test that was put off and never went on": {
			stream: events(runA, pauseA, suiteFailed), expected: []string{"A"},
			outcome: unfinished, lost: []string{"A"},
		},
		"a parallel test that went on and passed": {
			stream: events(runA, pauseA, contA, passA, suitePassed), expected: []string{"A"},
			outcome: passed, acceptable: true,
		},
		"a listed test that is skipped": {
			stream: events(runA, skipA, suitePassed), expected: []string{"A"},
			outcome: skipped, lost: []string{"A"},
		},
		"a listed test that fails in a case": {
			stream: events(runA, runCase, failCase, failA, suiteFailed), expected: []string{"A"},
			outcome: failed, lost: []string{"A"},
		},
		"a test that fails and is not listed": {
			stream:  events(runA, failA, suiteFailed),
			outcome: failed, acceptable: true,
		},
		"a test that passes and is not listed": {
			stream:  events(runA, passA, suitePassed),
			outcome: passed, gained: []string{"A"}, acceptable: true,
		},
		"lines of another program in between": {
			stream: events("Terminated", runA, passA, suitePassed), expected: []string{"A"},
			outcome: passed, acceptable: true,
		},
	} {
		t.Run(given, func(t *testing.T) {
			read, err := readRun(strings.NewReader(then.stream), io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			judged := weigh(read, then.expected)
			if seen := read.byName["A"].Outcome; seen != then.outcome {
				t.Errorf("outcome %s, not %s", seen, then.outcome)
			}
			if !slices.Equal(judged.lost, then.lost) || !slices.Equal(judged.gained, then.gained) {
				t.Errorf("lost %v, gained %v", judged.lost, judged.gained)
			}
			if judged.acceptable() != then.acceptable {
				t.Errorf("acceptable: %t", judged.acceptable())
			}
		})
	}
}

func TestASetupThatFailsIsNotAcceptable(t *testing.T) {
	read, err := readRun(strings.NewReader(suiteFailed), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if weigh(read, nil).acceptable() {
		t.Error("a run without any test counts as good")
	}
}
