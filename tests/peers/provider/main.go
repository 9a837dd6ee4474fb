// Provider is a genuine OpenID provider: the example server of github.com/zitadel/oidc, with people who are in groups.
//
//	provider
//
// It prints its address on one line; its issuer is that with http:// before. The clients cfgwctl and other are public and may
// use the device grant. POST /rotate replaces the key that it signs with.
package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// The password of everybody.
const password = "verysecure"

// Who is in which groups.
var groups = map[string][]string{
	"ada": {"platform"},
	"eve": {"acme-look", "beta-look"},
	"bob": {},
}

func main() {
	log.SetFlags(0)
	if err := serve(); err != nil {
		log.Fatal(err)
	}
}

func serve() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	storage.RegisterClients(storage.NativeClient("cfgwctl"), storage.NativeClient("other"))
	keeper := &keeper{Storage: storage.NewStorage(people{})}
	if err := keeper.rotate(); err != nil {
		return err
	}
	issuer := "http://" + listener.Addr().String()
	mux := http.NewServeMux()
	mux.Handle("/", exampleop.SetupServer(issuer, keeper, slog.New(slog.DiscardHandler), false))
	mux.HandleFunc("POST /rotate", func(w http.ResponseWriter, _ *http.Request) {
		if err := keeper.rotate(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	fmt.Println(listener.Addr())
	return http.Serve(listener, mux)
}

// people are their names: the pages of the example make no difference between a name and an id.
type people struct{}

func (people) GetUserByID(id string) *storage.User {
	if _, known := groups[id]; !known {
		return nil
	}
	return &storage.User{
		ID:            id,
		Username:      id,
		Password:      password,
		Email:         id + "@example.com",
		EmailVerified: id != "bob",
	}
}

func (it people) GetUserByUsername(name string) *storage.User { return it.GetUserByID(name) }

func (people) ExampleClientID() string { return "service" }

// keeper is the storage of the example, with keys that can be replaced and with groups in tokens.
type keeper struct {
	*storage.Storage
	mutex sync.Mutex
	key   *key
}

type key struct {
	id   string
	pair *rsa.PrivateKey
}

func (k *key) ID() string                                  { return k.id }
func (k *key) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k *key) Key() any                                    { return k.pair }

// public is the same key as others see it.
type public struct{ *key }

func (p public) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (p public) Use() string                        { return "sig" }
func (p public) Key() any                           { return &p.pair.PublicKey }

func (k *keeper) rotate() error {
	pair, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	k.mutex.Lock()
	defer k.mutex.Unlock()
	k.key = &key{id: uuid.NewString(), pair: pair}
	return nil
}

func (k *keeper) current() *key {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	return k.key
}

func (k *keeper) SigningKey(context.Context) (op.SigningKey, error) { return k.current(), nil }

func (k *keeper) KeySet(context.Context) ([]op.Key, error) {
	return []op.Key{public{k.current()}}, nil
}

func (k *keeper) SetUserinfoFromRequest(ctx context.Context, info *oidc.UserInfo, request op.IDTokenRequest, scopes []string) error {
	info.AppendClaims("groups", groups[request.GetSubject()])
	return k.Storage.SetUserinfoFromRequest(ctx, info, request, scopes)
}

func (k *keeper) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	found, err := k.Storage.GetClientByClientID(ctx, id)
	if err != nil {
		return nil, err
	}
	return client{found}, nil
}

// client may use the device grant, and gets in its ID tokens what it asks for.
type client struct{ op.Client }

func (client) GrantTypes() []oidc.GrantType         { return []oidc.GrantType{oidc.GrantTypeDeviceCode} }
func (client) IDTokenUserinfoClaimsAssertion() bool { return true }
