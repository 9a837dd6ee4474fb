package judges

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/cloudflare/cloudflare-go/v7/accounts"
	"github.com/cloudflare/cloudflare-go/v7/custom_certificates"
	"github.com/cloudflare/cloudflare-go/v7/dns"
	"github.com/cloudflare/cloudflare-go/v7/user"
	"github.com/cloudflare/cloudflare-go/v7/zero_trust"
	"github.com/cloudflare/cloudflare-go/v7/zones"
)

// A fieldUse is one field that the project's client reads or writes.
type fieldUse struct {
	Call, Direction, Path, Type string
	// Of is the type of DNS record that the client writes there.
	Of string
	// Unmodelled says, for each library that does not have it, why.
	Unmodelled map[string]string
}

// calls are the library's methods by the client's names of the calls. What they send and answer is found
// in their signatures.
var calls = map[string]any{
	"list tunnels":                   (*zero_trust.TunnelCloudflaredService).List,
	"create tunnel":                  (*zero_trust.TunnelCloudflaredService).New,
	"replace tunnel secret":          (*zero_trust.TunnelCloudflaredService).Edit,
	"adopt tunnel":                   (*zero_trust.TunnelCloudflaredService).Edit,
	"get connector token":            (*zero_trust.TunnelCloudflaredTokenService).Get,
	"list connections":               (*zero_trust.TunnelCloudflaredConnectionService).Get,
	"get ingress rules":              (*zero_trust.TunnelCloudflaredConfigurationService).Get,
	"put ingress rules":              (*zero_trust.TunnelCloudflaredConfigurationService).Update,
	"list zones":                     (*zones.ZoneService).List,
	"look up zone":                   (*zones.ZoneService).List,
	"list DNS records":               (*dns.RecordService).List,
	"change DNS records":             (*dns.RecordService).Batch,
	"list custom certificates":       (*custom_certificates.CustomCertificateService).List,
	"upload custom certificate":      (*custom_certificates.CustomCertificateService).New,
	"replace custom certificate":     (*custom_certificates.CustomCertificateService).Edit,
	"verify API token of a user":     (*user.TokenService).Verify,
	"verify API token of an account": (*accounts.TokenService).Verify,
}

// cnames are what the alternatives of a union are for records of type CNAME.
var cnames = map[reflect.Type]reflect.Type{
	reflect.TypeFor[dns.BatchPutUnionParam]():         reflect.TypeFor[dns.BatchPutCNAMERecordParam](),
	reflect.TypeFor[dns.RecordBatchParamsPostUnion](): reflect.TypeFor[dns.CNAMERecordParam](),
}

// modelOf finds where a path begins and what is left of it: the library unwraps `result`.
func modelOf(use fieldUse) (reflect.Type, []string) {
	path := strings.Split(strings.ReplaceAll(use.Path, "[]", ".[]"), ".")
	if use.Call == "any call" {
		return reflect.TypeFor[zero_trust.TunnelCloudflaredNewResponseEnvelope](), path
	}
	method := reflect.TypeOf(calls[use.Call])
	if use.Direction != "read" {
		for i := range method.NumIn() {
			if strings.HasSuffix(method.In(i).Name(), "Params") {
				return method.In(i), path
			}
		}
		return nil, path
	}
	answer := method.Out(0)
	if strings.Contains(answer.Elem().PkgPath(), "/pagination") {
		return answer, path
	}
	return answer, path[1:]
}

// plain takes pointers and the library's wrapper for values that are sent off a type.
func plain(model reflect.Type, of string) reflect.Type {
	for {
		if model.Kind() == reflect.Pointer {
			model = model.Elem()
		} else if strings.HasPrefix(model.Name(), "Field[") {
			value, _ := model.FieldByName("Value")
			model = value.Type
		} else if alternative, ok := cnames[model]; ok && of == "CNAME" {
			model = alternative
		} else {
			return model
		}
	}
}

func typeAt(model reflect.Type, path []string, tag, of string) (reflect.Type, error) {
	model = plain(model, of)
	if len(path) == 0 {
		return model, nil
	}
	step, rest := path[0], path[1:]
	switch {
	case step == "[]" && model.Kind() == reflect.Slice:
		return typeAt(model.Elem(), rest, tag, of)
	case model.Kind() == reflect.Struct:
		for _, field := range reflect.VisibleFields(model) {
			if name, _, _ := strings.Cut(field.Tag.Get(tag), ","); name == step {
				return typeAt(field.Type, rest, tag, of)
			}
		}
	}
	return nil, fmt.Errorf("%v has no %s", model, step)
}

// fits tells whether a Go type holds a JSON type. JSON has one sort of number; the library says float64
// where the API takes whole numbers only.
func fits(model reflect.Type, expected string) bool {
	switch model.Kind() {
	case reflect.String:
		return expected == "string"
	case reflect.Bool:
		return expected == "boolean"
	case reflect.Int64, reflect.Float64:
		return expected == "integer"
	case reflect.Slice:
		return expected == "array"
	case reflect.Struct:
		return expected == "object"
	default:
		return false
	}
}

func TestTheLibraryHasEveryFieldOfTheClient(t *testing.T) {
	text, err := os.ReadFile("../fields.json")
	must(t, err)
	var uses []fieldUse
	must(t, json.Unmarshal(text, &uses))
	for _, use := range uses {
		t.Run(fmt.Sprintf("%s: %s %s", use.Call, use.Direction, use.Path), func(t *testing.T) {
			model, path := modelOf(use)
			if model == nil {
				t.Fatalf("the library has no call %q that sends anything", use.Call)
			}
			tag := "json"
			if use.Direction == "query" {
				tag = "query"
			}
			found, err := typeAt(model, path, tag, use.Of)
			if _, is := use.Unmodelled["go"]; is {
				// Once the library has it, it is a field like the others.
				if err == nil {
					t.Fatalf("the library has it now: %v", found)
				}
				return
			}
			must(t, err)
			if !fits(found, use.Type) {
				t.Fatalf("%v is no %s", found, use.Type)
			}
		})
	}
}
