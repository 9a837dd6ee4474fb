package judges

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudflare/cloudflare-go/v7"
	"github.com/cloudflare/cloudflare-go/v7/accounts"
	"github.com/cloudflare/cloudflare-go/v7/option"
	"github.com/cloudflare/cloudflare-go/v7/user"
	"github.com/cloudflare/cloudflare-go/v7/zero_trust"
	"github.com/cloudflare/cloudflare-go/v7/zones"
)

func TestATokenIsVerified(t *testing.T) {
	token, err := library(t).User.Tokens.Verify(context.Background())
	must(t, err)
	wellFormed(t, token)
	equal(t, "status", token.Status, user.TokenVerifyResponseStatusActive)
	equal(t, "length of the id", len(token.ID), 32)
}

func TestAUsersTokenIsNotOneOfTheAccount(t *testing.T) {
	_, err := library(t).Accounts.Tokens.Verify(context.Background(),
		accounts.TokenVerifyParams{AccountID: cloudflare.F(account(t))})
	refused(t, err, 401, 1000)
}

func TestAWrongTokenIsRefused(t *testing.T) {
	ctx := context.Background()
	stranger := library(t, option.WithAPIToken(strings.Repeat("w", 40)))
	_, err := stranger.User.Tokens.Verify(ctx)
	refused(t, err, 401, 1000)
	_, err = stranger.ZeroTrust.Tunnels.Cloudflared.List(ctx,
		zero_trust.TunnelCloudflaredListParams{AccountID: cloudflare.F(account(t))})
	refused(t, err, 401, 10000)
	_, err = stranger.Zones.List(ctx, zones.ZoneListParams{})
	refused(t, err, 403, 9109)
	_, err = library(t, option.WithAPIToken("no token")).Zones.List(ctx, zones.ZoneListParams{})
	refused(t, err, 400, 6003)
}

// twoCallsInTwoSeconds sets the rate limit for one test.
func twoCallsInTwoSeconds(t *testing.T) {
	operate(t, "PUT", "rate-limit", map[string]int{"calls": 2, "window_milliseconds": 2000})
	t.Cleanup(func() {
		operate(t, "PUT", "rate-limit", map[string]int{"calls": 1200, "window_milliseconds": 300000})
	})
}

func TestTooManyCallsAreRefusedWithATimeToWait(t *testing.T) {
	twoCallsInTwoSeconds(t)
	client := library(t)
	for range 2 {
		_, err := client.User.Tokens.Verify(context.Background())
		must(t, err)
	}
	_, err := client.User.Tokens.Verify(context.Background())
	seconds := refused(t, err, 429, 971).Response.Header.Get("Retry-After")
	if !slices.Contains([]string{"1", "2"}, seconds) {
		t.Fatalf("Retry-After: %q", seconds)
	}
}

func TestTheLibraryWaitsOutTheRateLimit(t *testing.T) {
	twoCallsInTwoSeconds(t)
	patient := library(t, option.WithMaxRetries(3))
	began := time.Now()
	for range 3 {
		_, err := patient.User.Tokens.Verify(context.Background())
		must(t, err)
	}
	if waited := time.Since(began); waited < time.Second {
		t.Fatalf("waited only %v", waited)
	}
}
