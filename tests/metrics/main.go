// Command metrics serves what pods export for Prometheus as custom.metrics.k8s.io: for each pod with a port of the name
// `admin`, one of its own series at the time of the question. It stands for what a cluster has there, such as
// prometheus-adapter, and stores nothing.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/metrics/pkg/apis/custom_metrics"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/cmd"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"
)

const (
	// The port's name in the pods of proxies.
	port = "admin"
	// The one metric that is offered.
	metric = "cfgw_proxy_in_flight"
	// Bytes of a pod's answer that are read.
	mostBytes = 1 << 20
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "metrics:", err)
		os.Exit(1)
	}
}

func run() error {
	adapter := cmd.AdapterBase{Name: "metrics"}
	if err := adapter.Flags().Parse(os.Args[1:]); err != nil {
		return err
	}
	config, err := adapter.ClientConfig()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	adapter.WithCustomMetrics(pods{client, &http.Client{Timeout: 2 * time.Second}})
	return adapter.Run(context.Background())
}

// Answers from the pods themselves.
type pods struct {
	cluster kubernetes.Interface
	client  *http.Client
}

func (p pods) ListAllMetrics() []provider.CustomMetricInfo {
	return []provider.CustomMetricInfo{{
		GroupResource: schema.GroupResource{Resource: "pods"},
		Namespaced:    true,
		Metric:        metric,
	}}
}

func (p pods) GetMetricByName(ctx context.Context, name types.NamespacedName, info provider.CustomMetricInfo,
	series labels.Selector) (*custom_metrics.MetricValue, error) {
	pod, err := p.cluster.CoreV1().Pods(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	value, err := p.value(ctx, pod, info, series)
	if err != nil {
		return nil, provider.NewMetricNotFoundForError(info.GroupResource, info.Metric, name.Name)
	}
	return value, nil
}

// Pods that do not answer are left out, as where something else asks them.
func (p pods) GetMetricBySelector(ctx context.Context, namespace string, selector labels.Selector,
	info provider.CustomMetricInfo, series labels.Selector) (*custom_metrics.MetricValueList, error) {
	options := metav1.ListOptions{LabelSelector: selector.String()}
	found, err := p.cluster.CoreV1().Pods(namespace).List(ctx, options)
	if err != nil {
		return nil, err
	}
	list := &custom_metrics.MetricValueList{}
	for i := range found.Items {
		value, err := p.value(ctx, &found.Items[i], info, series)
		if err != nil {
			fmt.Fprintf(os.Stderr, "pod %s/%s: %v\n", namespace, found.Items[i].Name, err)
			continue
		}
		list.Items = append(list.Items, *value)
	}
	return list, nil
}

// The sum of a pod's series of this name that are selected.
func (p pods) value(ctx context.Context, pod *corev1.Pod, info provider.CustomMetricInfo,
	series labels.Selector) (*custom_metrics.MetricValue, error) {
	address, err := addressOf(pod)
	if err != nil {
		return nil, err
	}
	family, err := p.scrape(ctx, address, info.Metric)
	if err != nil {
		return nil, err
	}
	var sum float64
	for _, one := range family.GetMetric() {
		if series.Matches(labelsOf(one)) {
			sum += one.GetGauge().GetValue()
		}
	}
	return &custom_metrics.MetricValue{
		DescribedObject: custom_metrics.ObjectReference{
			APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name,
		},
		Metric:    custom_metrics.MetricIdentifier{Name: info.Metric},
		Timestamp: metav1.Now(),
		Value:     *resource.NewMilliQuantity(int64(sum*1000), resource.DecimalSI),
	}, nil
}

func (p pods) scrape(ctx context.Context, address, name string) (*dto.MetricFamily, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	answer, err := p.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answers %s", answer.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(io.LimitReader(answer.Body, mostBytes))
	if err != nil {
		return nil, err
	}
	family, found := families[name]
	if !found {
		return nil, fmt.Errorf("has no metric %s", name)
	}
	return family, nil
}

func addressOf(pod *corev1.Pod) (string, error) {
	for _, container := range pod.Spec.Containers {
		for _, candidate := range container.Ports {
			if candidate.Name == port && pod.Status.PodIP != "" {
				return net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(int(candidate.ContainerPort))), nil
			}
		}
	}
	return "", fmt.Errorf("has no address with a port %s", port)
}

func labelsOf(series *dto.Metric) labels.Set {
	set := labels.Set{}
	for _, pair := range series.GetLabel() {
		set[pair.GetName()] = pair.GetValue()
	}
	return set
}
