// Package rules holds the example for prometheus-adapter to what that program reads, which is no module that could be
// asked.
package rules

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"text/template"

	"sigs.k8s.io/yaml"
)

const metric = "cfgw_proxy_in_flight"

// values are those of its chart; the rule is described in its docs/config.md.
type values struct {
	Rules struct {
		Custom []struct {
			SeriesQuery string `json:"seriesQuery"`
			Resources   struct {
				Overrides map[string]struct {
					Resource string `json:"resource"`
				} `json:"overrides"`
			} `json:"resources"`
			Name struct {
				Matches string `json:"matches"`
				As      string `json:"as"`
			} `json:"name"`
			MetricsQuery string `json:"metricsQuery"`
		} `json:"custom"`
	} `json:"rules"`
}

func TestTheExampleOffersTheMetricForPods(t *testing.T) {
	text, err := os.ReadFile("../../../docs/examples/autoscaling/prometheus-adapter.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var read values
	if err := yaml.UnmarshalStrict(text, &read); err != nil {
		t.Fatal(err)
	}
	if len(read.Rules.Custom) != 1 {
		t.Fatalf("%d rules", len(read.Rules.Custom))
	}
	rule := read.Rules.Custom[0]
	// A label that names no object would leave series that are no pod's.
	for label, wanted := range map[string]string{"namespace": "namespace", "pod": "pod"} {
		if found := rule.Resources.Overrides[label].Resource; found != wanted {
			t.Errorf("label %s is %q", label, found)
		}
		if !strings.Contains(rule.SeriesQuery, label+`!=""`) {
			t.Errorf("%s takes series without %s", rule.SeriesQuery, label)
		}
	}
	named := regexp.MustCompile(rule.Name.Matches).ReplaceAllString(metric, rule.Name.As)
	if !strings.HasPrefix(rule.SeriesQuery, metric+"{") || named != metric {
		t.Errorf("%s is named %q", rule.SeriesQuery, named)
	}
	query, err := template.New("query").Delims("<<", ">>").Parse(rule.MetricsQuery)
	if err != nil {
		t.Fatal(err)
	}
	var asked strings.Builder
	asking := map[string]string{"Series": metric, "LabelMatchers": `namespace="infra",pod=~"a|b"`, "GroupBy": "pod"}
	if err := query.Execute(&asked, asking); err != nil {
		t.Fatal(err)
	}
	if wanted := `sum(cfgw_proxy_in_flight{namespace="infra",pod=~"a|b"}) by (pod)`; asked.String() != wanted {
		t.Errorf("asks %s", &asked)
	}
}
