package judges

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/cloudflare/cloudflare-go/v7"
	"github.com/cloudflare/cloudflare-go/v7/shared"
	"github.com/cloudflare/cloudflare-go/v7/zero_trust"
)

const (
	prefix  = "go-judge-"
	nobody  = "3c2c6dc9-4b83-4f3a-9bd5-0a4a1e0f5c11"
	someone = "8f0f3d0e-52a5-4f0f-b0a5-5a7f1b1c7d22"
)

func tunnels(t *testing.T) *zero_trust.TunnelCloudflaredService {
	t.Helper()
	return library(t).ZeroTrust.Tunnels.Cloudflared
}

func newTunnel(t *testing.T, name string) *shared.CloudflareTunnel {
	t.Helper()
	tunnel, err := tunnels(t).New(context.Background(), zero_trust.TunnelCloudflaredNewParams{
		AccountID: cloudflare.F(account(t)),
		Name:      cloudflare.F(prefix + name),
		ConfigSrc: cloudflare.F(zero_trust.TunnelCloudflaredNewParamsConfigSrcCloudflare),
	})
	must(t, err)
	// The documentation has them, the library's model has not.
	wellFormed(t, tunnel, ".token", ".credentials_file")
	t.Cleanup(func() {
		// It may be gone already.
		_, _ = deleteTunnel(t, tunnel.ID)
	})
	return tunnel
}

func getTunnel(t *testing.T, id string) (*shared.CloudflareTunnel, error) {
	return tunnels(t).Get(context.Background(), id,
		zero_trust.TunnelCloudflaredGetParams{AccountID: cloudflare.F(account(t))})
}

func deleteTunnel(t *testing.T, id string) (*shared.CloudflareTunnel, error) {
	return tunnels(t).Delete(context.Background(), id,
		zero_trust.TunnelCloudflaredDeleteParams{AccountID: cloudflare.F(account(t))})
}

func TestATunnelIsMadeReadRenamedAndDeleted(t *testing.T) {
	tunnel := newTunnel(t, "life")
	equal(t, "account", tunnel.AccountTag, account(t))
	equal(t, "source", tunnel.ConfigSrc, shared.CloudflareTunnelConfigSrcCloudflare)
	equal(t, "remote", tunnel.RemoteConfig, true)
	equal(t, "status", tunnel.Status, shared.CloudflareTunnelStatusInactive)
	equal(t, "deleted", tunnel.DeletedAt.IsZero(), true)

	read, err := getTunnel(t, tunnel.ID)
	must(t, err)
	wellFormed(t, read)
	equal(t, "name", read.Name, tunnel.Name)

	edited, err := tunnels(t).Edit(context.Background(), tunnel.ID, zero_trust.TunnelCloudflaredEditParams{
		AccountID: cloudflare.F(account(t)),
		Name:      cloudflare.F(prefix + "renamed"),
	})
	must(t, err)
	equal(t, "new name", edited.Name, prefix+"renamed")

	deleted, err := deleteTunnel(t, tunnel.ID)
	must(t, err)
	equal(t, "deleted", deleted.DeletedAt.IsZero(), false)
	_, err = deleteTunnel(t, tunnel.ID)
	refused(t, err, 404, 1003)
}

func TestTunnelsAreListedOverSeveralPagesAndByFilter(t *testing.T) {
	var names []string
	for n := range 12 {
		names = append(names, newTunnel(t, fmt.Sprintf("pages-%02d", n)).Name)
	}
	listed := func(params zero_trust.TunnelCloudflaredListParams) []string {
		t.Helper()
		params.AccountID = cloudflare.F(account(t))
		params.IsDeleted = cloudflare.F(false)
		params.PerPage = cloudflare.F(5.0)
		var found []string
		pages := tunnels(t).ListAutoPaging(context.Background(), params)
		for pages.Next() {
			tunnel := pages.Current()
			wellFormed(t, tunnel)
			found = append(found, tunnel.Name)
		}
		must(t, pages.Err())
		slices.Sort(found)
		return found
	}
	all := zero_trust.TunnelCloudflaredListParams{IncludePrefix: cloudflare.F(prefix + "pages-")}
	equal(t, "all", listed(all), names)
	all.ExcludePrefix = cloudflare.F(prefix + "pages-0")
	equal(t, "not all", listed(all), names[10:])
	one := zero_trust.TunnelCloudflaredListParams{Name: cloudflare.F(names[3])}
	equal(t, "one", listed(one), names[3:4])
	all.Status = cloudflare.F(zero_trust.TunnelCloudflaredListParamsStatusHealthy)
	equal(t, "healthy", listed(all), nil)
}

type ingressRule = zero_trust.TunnelCloudflaredConfigurationUpdateParamsConfigIngress

func configure(t *testing.T, id string, rules ...ingressRule) error {
	t.Helper()
	answer, err := tunnels(t).Configurations.Update(context.Background(), id,
		zero_trust.TunnelCloudflaredConfigurationUpdateParams{
			AccountID: cloudflare.F(account(t)),
			Config: cloudflare.F(zero_trust.TunnelCloudflaredConfigurationUpdateParamsConfig{
				Ingress: cloudflare.F(rules),
			}),
		})
	wellFormed(t, answer)
	return err
}

func TestAnIngressDocumentIsReadBackAsItWasPut(t *testing.T) {
	tunnel := newTunnel(t, "ingress")
	app := ingressRule{
		Hostname: cloudflare.F("a.example.com"),
		Path:     cloudflare.F("^/api"),
		Service:  cloudflare.F("http://a:80"),
	}
	rest := ingressRule{Service: cloudflare.F("http_status:404")}
	must(t, configure(t, tunnel.ID, rest))
	must(t, configure(t, tunnel.ID, app, rest))
	refused(t, configure(t, tunnel.ID, app), 400, 1056)

	read, err := tunnels(t).Configurations.Get(context.Background(), tunnel.ID,
		zero_trust.TunnelCloudflaredConfigurationGetParams{AccountID: cloudflare.F(account(t))})
	must(t, err)
	wellFormed(t, read)
	equal(t, "version", read.Version, 2)
	equal(t, "tunnel", read.TunnelID, tunnel.ID)
	equal(t, "rules", len(read.Config.Ingress), 2)
	equal(t, "hostname", read.Config.Ingress[0].Hostname, "a.example.com")
	equal(t, "path", read.Config.Ingress[0].Path, "^/api")
	equal(t, "service", read.Config.Ingress[0].Service, "http://a:80")
	equal(t, "rest", read.Config.Ingress[1].Service, "http_status:404")
}

func TestANewSecretChangesTheConnectorToken(t *testing.T) {
	tunnel := newTunnel(t, "secret")
	secret := make([]byte, 32)
	_, err := rand.Read(secret)
	must(t, err)
	secretNow := func() []byte {
		t.Helper()
		token, err := tunnels(t).Token.Get(context.Background(), tunnel.ID,
			zero_trust.TunnelCloudflaredTokenGetParams{AccountID: cloudflare.F(account(t))})
		must(t, err)
		text, err := base64.StdEncoding.DecodeString(*token)
		must(t, err)
		var parts struct {
			Account string `json:"a"`
			Tunnel  string `json:"t"`
			Secret  []byte `json:"s"`
		}
		must(t, json.Unmarshal(text, &parts))
		equal(t, "account", parts.Account, account(t))
		equal(t, "tunnel", parts.Tunnel, tunnel.ID)
		return parts.Secret
	}
	equal(t, "secret before", bytes.Equal(secretNow(), secret), false)
	_, err = tunnels(t).Edit(context.Background(), tunnel.ID, zero_trust.TunnelCloudflaredEditParams{
		AccountID:    cloudflare.F(account(t)),
		TunnelSecret: cloudflare.F(base64.StdEncoding.EncodeToString(secret)),
	})
	must(t, err)
	equal(t, "secret after", bytes.Equal(secretNow(), secret), true)
}

func TestConnectionsAreListedByConnectorAndClosed(t *testing.T) {
	tunnel := newTunnel(t, "connections")
	ctx := context.Background()
	connections := tunnels(t).Connections
	connectors := func() []zero_trust.Client {
		t.Helper()
		page, err := connections.Get(ctx, tunnel.ID,
			zero_trust.TunnelCloudflaredConnectionGetParams{AccountID: cloudflare.F(account(t))})
		must(t, err)
		// The Python library and the documentation have it.
		wellFormed(t, page.Result, "[].Conns[].is_pending_reconnect")
		return page.Result
	}
	equal(t, "connectors", len(connectors()), 0)
	operate(t, "POST", "connections", map[string]any{"tunnel": tunnel.ID, "connector": someone, "count": 4})
	equal(t, "connectors", len(connectors()), 1)
	equal(t, "connector", connectors()[0].ID, someone)
	equal(t, "connections", len(connectors()[0].Conns), 4)
	equal(t, "connector of a connection", connectors()[0].Conns[0].ClientID, someone)
	_, err := deleteTunnel(t, tunnel.ID)
	refused(t, err, 400, 1022)
	_, err = connections.Delete(ctx, tunnel.ID, zero_trust.TunnelCloudflaredConnectionDeleteParams{
		AccountID: cloudflare.F(account(t)),
		ClientID:  cloudflare.F(someone),
	})
	must(t, err)
	equal(t, "connectors", len(connectors()), 0)
}

func TestATakenNameIsAConflict(t *testing.T) {
	tunnel := newTunnel(t, "taken")
	_, err := tunnels(t).New(context.Background(), zero_trust.TunnelCloudflaredNewParams{
		AccountID: cloudflare.F(account(t)),
		Name:      cloudflare.F(tunnel.Name),
	})
	refused(t, err, 409, 1013)
}

func TestAnUnknownTunnelIsNotFound(t *testing.T) {
	_, err := getTunnel(t, nobody)
	refused(t, err, 404, 1003)
	_, err = deleteTunnel(t, nobody)
	refused(t, err, 404, 1003)
	_, err = tunnels(t).Token.Get(context.Background(), nobody,
		zero_trust.TunnelCloudflaredTokenGetParams{AccountID: cloudflare.F(account(t))})
	refused(t, err, 404, 1003)
}
