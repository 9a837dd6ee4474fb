package machine

import (
	"os"
	"testing"
)

func TestANameIsAFolderAndNothingElse(t *testing.T) {
	t.Setenv("CFGW_CLUSTER_CACHE", t.TempDir())
	for name, valid := range map[string]bool{
		"dev": true, "test-17": true, "": false, "..": false, "a/b": false, "-a": false, "Dev": false,
	} {
		if _, err := Named(name); (err == nil) != valid {
			t.Errorf("name %q: %v", name, err)
		}
	}
}

func TestAProcessIsKnownByItsIdAndItsStart(t *testing.T) {
	_, started, err := stat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for given, then := range map[string]struct {
		process identity
		alive   bool
	}{
		"this process":                        {identity{os.Getpid(), started}, true},
		"an earlier process with the same id": {identity{os.Getpid(), "1"}, false},
	} {
		if then.process.alive() != then.alive {
			t.Errorf("%s: alive %t", given, !then.alive)
		}
	}
}

func TestAClusterThatDoesNotRunCannotBeEntered(t *testing.T) {
	t.Setenv("CFGW_CLUSTER_CACHE", t.TempDir())
	cluster, err := Named("absent")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cluster.enter([]string{"true"}); err == nil {
		t.Error("entered a cluster that is not there")
	}
}
