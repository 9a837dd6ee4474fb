// Package judges lets Cloudflare's own Go library judge the stand-in Cloudflare: by base URL and token,
// nothing else changed.
package judges

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"slices"
	"testing"

	"github.com/cloudflare/cloudflare-go/v7"
	"github.com/cloudflare/cloudflare-go/v7/dns"
	"github.com/cloudflare/cloudflare-go/v7/option"
	"github.com/cloudflare/cloudflare-go/v7/zones"
)

func need(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set; tests/judges/run sets it", name)
	}
	return value
}

// library makes the library's client. Nothing is tried twice unless asked.
func library(t *testing.T, opts ...option.RequestOption) *cloudflare.Client {
	t.Helper()
	all := append([]option.RequestOption{
		option.WithBaseURL(need(t, "STANDIN_API_URL")),
		option.WithAPIToken(need(t, "STANDIN_TOKEN")),
		option.WithMaxRetries(0),
	}, opts...)
	return cloudflare.NewClient(all...)
}

func account(t *testing.T) string {
	t.Helper()
	return need(t, "STANDIN_ACCOUNT")
}

// zone returns the id of the zone for records.
func zone(t *testing.T, client *cloudflare.Client) string {
	t.Helper()
	page, err := client.Zones.List(context.Background(), zones.ZoneListParams{
		Name:    cloudflare.F("example.com"),
		Account: cloudflare.F(zones.ZoneListParamsAccount{ID: cloudflare.F(account(t))}),
	})
	must(t, err)
	equal(t, "zones", len(page.Result), 1)
	return page.Result[0].ID
}

// operate sets a switch of the stand-in that Cloudflare does not have.
func operate(t *testing.T, method, path string, body any) {
	t.Helper()
	at, err := url.Parse(need(t, "STANDIN_API_URL"))
	must(t, err)
	at.Path = "/standin/" + path
	text, err := json.Marshal(body)
	must(t, err)
	request, err := http.NewRequest(method, at.String(), bytes.NewReader(text))
	must(t, err)
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	must(t, err)
	answer.Body.Close()
	equal(t, "status of the switch", answer.StatusCode, http.StatusNoContent)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T any](t *testing.T, what string, found, expected T) {
	t.Helper()
	if !reflect.DeepEqual(found, expected) {
		t.Fatalf("%s: %v, expected %v", what, found, expected)
	}
}

// refused checks that the library turned a refusal into its error type, with status and code.
func refused(t *testing.T, err error, status int, code int64) *cloudflare.Error {
	t.Helper()
	var refusal *cloudflare.Error
	if !errors.As(err, &refusal) {
		t.Fatalf("no refusal of the API: %v", err)
	}
	var codes []int64
	for _, e := range refusal.Errors {
		codes = append(codes, e.Code)
	}
	equal(t, "status", refusal.StatusCode, status)
	equal(t, "codes", codes, []int64{code})
	return refusal
}

// wellFormed checks an answer against the library's models: every value has the type of its field, and
// every field but those allowed is one of the model's.
func wellFormed(t *testing.T, answer any, allowed ...string) {
	t.Helper()
	walk(t, reflect.ValueOf(answer), "", nil, allowed)
}

// walk checks a value and what is in it. Fields of the models around an embedded one are known to it too.
func walk(t *testing.T, value reflect.Value, place string, around, allowed []string) {
	t.Helper()
	switch value.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !value.IsNil() {
			walk(t, value.Elem(), place, around, allowed)
		}
	case reflect.Slice:
		for i := range value.Len() {
			walk(t, value.Index(i), place+"[]", nil, allowed)
		}
	case reflect.Struct:
		met := value.FieldByName("JSON")
		if !met.IsValid() {
			return
		}
		known := slices.Clone(around)
		for _, field := range reflect.VisibleFields(value.Type()) {
			known = append(known, field.Tag.Get("json"))
		}
		checkMet(t, met, place, known, allowed)
		if union, is := value.Interface().(interface{ AsUnion() dns.RecordResponseUnion }); is {
			walk(t, reflect.ValueOf(union.AsUnion()), place, nil, allowed)
			return
		}
		for i := range value.NumField() {
			field := value.Type().Field(i)
			switch {
			case field.Anonymous:
				walk(t, value.Field(i), place, known, allowed)
			case field.IsExported() && field.Name != "JSON":
				walk(t, value.Field(i), place+"."+field.Name, nil, allowed)
			}
		}
	}
}

// checkMet looks at what the library noted about the JSON that it met.
func checkMet(t *testing.T, met reflect.Value, place string, known, allowed []string) {
	t.Helper()
	for i := range met.NumField() {
		note := met.Type().Field(i)
		if !note.IsExported() {
			continue
		}
		if note.Name == "ExtraFields" {
			for _, key := range met.Field(i).MapKeys() {
				extra := key.String()
				if !slices.Contains(known, extra) && !slices.Contains(allowed, place+"."+extra) {
					t.Errorf("the library has no field %s.%s", place, extra)
				}
			}
			continue
		}
		field, is := met.Field(i).Interface().(interface{ IsInvalid() bool })
		if is && field.IsInvalid() {
			t.Errorf("%s.%s has not the type of the library's model", place, note.Name)
		}
	}
}
