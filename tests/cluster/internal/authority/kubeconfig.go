package authority

import (
	"encoding/json"
	"os"
)

// Kubeconfig issues a client certificate and writes a kubeconfig that contains it. Kubeconfigs are YAML, of which JSON
// is a part.
func (a *Authority) Kubeconfig(path, server string, subject Subject) error {
	certificate, key, err := a.Issue(subject)
	if err != nil {
		return err
	}
	const name = "test"
	named := func(kind string, content any) []map[string]any {
		return []map[string]any{{"name": name, kind: content}}
	}
	// Byte slices become base64, as the format wants them.
	text, err := json.MarshalIndent(map[string]any{
		"apiVersion":      "v1",
		"kind":            "Config",
		"current-context": name,
		"clusters": named("cluster", map[string]any{
			"server": server, "certificate-authority-data": a.encoded,
		}),
		"users": named("user", map[string]any{
			"client-certificate-data": certificate, "client-key-data": key,
		}),
		"contexts": named("context", map[string]any{"cluster": name, "user": name}),
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}
