// Command health says how others see objects: kstatus (kubectl wait, Flux, kpt), Flux with the health checks of
// docs/examples/health, and Argo CD with those. It reads a list of objects as JSON and prints a line for each:
// kind, namespace/name, and the three verdicts.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/yaml"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "health:", err)
		os.Exit(1)
	}
}

func run(checks string) error {
	var list struct {
		Items []map[string]any `json:"items"`
	}
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	// That one keeps whole numbers whole, as kstatus expects them.
	if err := json.Unmarshal(text, &list); err != nil {
		return err
	}
	flux, err := fluxChecks(filepath.Join(checks, "flux-kustomization.yaml"))
	if err != nil {
		return err
	}
	argo, err := argoChecks(filepath.Join(checks, "argocd-cm.yaml"))
	if err != nil {
		return err
	}
	for _, item := range list.Items {
		object := &unstructured.Unstructured{Object: item}
		seen, err := status.Compute(object)
		if err != nil {
			return fmt.Errorf("kstatus: %w", err)
		}
		byFlux, err := flux.of(object)
		if err != nil {
			return fmt.Errorf("Flux: %w", err)
		}
		byArgo, err := argo.of(object)
		if err != nil {
			return fmt.Errorf("Argo CD: %w", err)
		}
		fmt.Printf("%s %s/%s kstatus=%s flux=%s argo=%s\n",
			object.GetKind(), object.GetNamespace(), object.GetName(), seen.Status, byFlux, byArgo)
	}
	return nil
}

// The expressions of a kind, as programs.
type fluxHealth map[string]struct{ failed, current cel.Program }

// What an expression may name, as in Flux.
var variables = []string{"apiVersion", "kind", "metadata", "spec", "status"}

func fluxChecks(file string) (fluxHealth, error) {
	var kustomization struct {
		Spec struct {
			HealthCheckExprs []struct {
				Kind    string `json:"kind"`
				Failed  string `json:"failed"`
				Current string `json:"current"`
			} `json:"healthCheckExprs"`
		} `json:"spec"`
	}
	if err := read(file, &kustomization); err != nil {
		return nil, err
	}
	var options []cel.EnvOption
	for _, name := range variables {
		options = append(options, cel.Variable(name, cel.DynType))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, err
	}
	checks := fluxHealth{}
	for _, check := range kustomization.Spec.HealthCheckExprs {
		programs := checks[check.Kind]
		if programs.failed, err = compiled(env, check.Failed); err != nil {
			return nil, fmt.Errorf("%s: %s: failed: %w", file, check.Kind, err)
		}
		if programs.current, err = compiled(env, check.Current); err != nil {
			return nil, fmt.Errorf("%s: %s: current: %w", file, check.Kind, err)
		}
		checks[check.Kind] = programs
	}
	return checks, nil
}

func compiled(env *cel.Env, expression string) (cel.Program, error) {
	ast, issues := env.Compile(expression)
	if issues.Err() != nil {
		return nil, issues.Err()
	}
	return env.Program(ast)
}

// As Flux does: kinds without an expression are judged by kstatus.
func (f fluxHealth) of(object *unstructured.Unstructured) (string, error) {
	programs, found := f[object.GetKind()]
	if !found {
		seen, err := status.Compute(object)
		if err != nil {
			return "", err
		}
		return string(seen.Status), nil
	}
	fields := map[string]any{}
	for _, name := range variables {
		fields[name] = map[string]any{}
		if value, found := object.Object[name]; found {
			fields[name] = value
		}
	}
	for _, verdict := range []struct {
		program cel.Program
		status  status.Status
	}{{programs.failed, status.FailedStatus}, {programs.current, status.CurrentStatus}} {
		value, _, err := verdict.program.Eval(fields)
		if err != nil {
			return "", err
		}
		if value == types.True {
			return string(verdict.status), nil
		}
	}
	return string(status.InProgressStatus), nil
}

type argoHealth map[string]string

const customization = "resource.customizations.health."

func argoChecks(file string) (argoHealth, error) {
	var config struct {
		Data map[string]string `json:"data"`
	}
	if err := read(file, &config); err != nil {
		return nil, err
	}
	checks := argoHealth{}
	for key, script := range config.Data {
		kind := strings.TrimPrefix(key, customization)
		checks[kind] = script
	}
	return checks, nil
}

// As Argo CD does: the script gets the object as `obj` and returns a table with status and message. Kinds without a
// script have no health of their own.
func (a argoHealth) of(object *unstructured.Unstructured) (string, error) {
	kind := object.GroupVersionKind()
	script, found := a[kind.Group+"_"+kind.Kind]
	if !found {
		return "none", nil
	}
	state := lua.NewState()
	defer state.Close()
	state.SetGlobal("obj", value(state, object.Object))
	if err := state.DoString(script); err != nil {
		return "", err
	}
	returned, isTable := state.Get(-1).(*lua.LTable)
	if !isTable {
		return "", fmt.Errorf("the check of %s returns no table", kind.Kind)
	}
	return returned.RawGetString("status").String(), nil
}

func value(state *lua.LState, of any) lua.LValue {
	switch of := of.(type) {
	case map[string]any:
		table := state.NewTable()
		for key, item := range of {
			table.RawSetString(key, value(state, item))
		}
		return table
	case []any:
		table := state.NewTable()
		for _, item := range of {
			table.Append(value(state, item))
		}
		return table
	case string:
		return lua.LString(of)
	case bool:
		return lua.LBool(of)
	case int64:
		return lua.LNumber(of)
	case float64:
		return lua.LNumber(of)
	default:
		return lua.LNil
	}
}

func read(file string, into any) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return yaml.Unmarshal(text, into)
}
