package judges

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/cloudflare/cloudflare-go/v7"
	"github.com/cloudflare/cloudflare-go/v7/dns"
	"github.com/cloudflare/cloudflare-go/v7/zones"
)

const comment = "made by a judge"

func cname(name, content string) dns.CNAMERecordParam {
	return dns.CNAMERecordParam{
		Name:    cloudflare.F(name + ".example.com"),
		Type:    cloudflare.F(dns.CNAMERecordTypeCNAME),
		Content: cloudflare.F(content),
		Proxied: cloudflare.F(true),
		TTL:     cloudflare.F(dns.TTL1),
		Comment: cloudflare.F(comment),
	}
}

// records returns the library's service and a zone that the test leaves empty.
func records(t *testing.T) (*dns.RecordService, string) {
	t.Helper()
	client := library(t)
	id := zone(t, client)
	service := client.DNS.Records
	t.Cleanup(func() {
		page, err := service.List(context.Background(), dns.RecordListParams{
			ZoneID: cloudflare.F(id), PerPage: cloudflare.F(100.0),
		})
		must(t, err)
		var deletes []dns.RecordBatchParamsDelete
		for _, record := range page.Result {
			deletes = append(deletes, dns.RecordBatchParamsDelete{ID: cloudflare.F(record.ID)})
		}
		_, err = service.Batch(context.Background(), dns.RecordBatchParams{
			ZoneID: cloudflare.F(id), Deletes: cloudflare.F(deletes),
		})
		must(t, err)
	})
	return service, id
}

func create(t *testing.T, record dns.RecordNewParamsBodyUnion) (*dns.RecordResponse, error) {
	t.Helper()
	client := library(t)
	made, err := client.DNS.Records.New(context.Background(), dns.RecordNewParams{
		ZoneID: cloudflare.F(zone(t, client)), Body: record,
	})
	wellFormed(t, made)
	return made, err
}

func TestZonesAreListedOverSeveralPagesAndByFilter(t *testing.T) {
	listed := func(params zones.ZoneListParams) []string {
		t.Helper()
		params.PerPage = cloudflare.F(5.0)
		var names []string
		pages := library(t).Zones.ListAutoPaging(context.Background(), params)
		for pages.Next() {
			zone := pages.Current()
			// Cloudflare answers with it; the library's model does not have it.
			wellFormed(t, zone, ".Owner.email")
			names = append(names, zone.Name)
		}
		must(t, pages.Err())
		return names
	}
	all := listed(zones.ZoneListParams{})
	if len(all) <= 10 || !slices.IsSorted(all) {
		t.Fatalf("zones: %v", all)
	}
	one := zones.ZoneListParams{Name: cloudflare.F("starts_with:exam")}
	equal(t, "by name", listed(one), []string{"example.com"})
	pending := zones.ZoneListParams{Status: cloudflare.F(zones.ZoneListParamsStatusPending)}
	equal(t, "by status", listed(pending), nil)
	elsewhere := zones.ZoneListParamsAccount{ID: cloudflare.F("ffffffffffffffffffffffffffffffff")}
	equal(t, "by account", listed(zones.ZoneListParams{Account: cloudflare.F(elsewhere)}), nil)
}

func TestARecordIsMadeReadEditedReplacedAndDeleted(t *testing.T) {
	service, id := records(t)
	ctx := context.Background()
	made, err := create(t, cname("one", "target.example.net"))
	must(t, err)
	equal(t, "name", made.Name, "one.example.com")
	equal(t, "type", made.Type, dns.RecordResponseTypeCNAME)
	equal(t, "proxied", made.Proxied, true)
	equal(t, "ttl", made.TTL, dns.TTL1)
	equal(t, "comment", made.Comment, comment)
	if _, ok := made.AsUnion().(dns.RecordResponseCNAMERecord); !ok {
		t.Fatalf("read as %T", made.AsUnion())
	}

	changed := cname("one", "target.example.net")
	changed.Comment = cloudflare.F("changed")
	edited, err := service.Edit(ctx, made.ID, dns.RecordEditParams{ZoneID: cloudflare.F(id), Body: changed})
	must(t, err)
	equal(t, "edited", edited.Comment, "changed")

	other := cname("two", "target.example.net")
	other.Comment.Present = false
	replaced, err := service.Update(ctx, made.ID, dns.RecordUpdateParams{ZoneID: cloudflare.F(id), Body: other})
	must(t, err)
	wellFormed(t, replaced)
	equal(t, "replaced", replaced.Name, "two.example.com")
	equal(t, "comment", replaced.Comment, "")

	read, err := service.Get(ctx, made.ID, dns.RecordGetParams{ZoneID: cloudflare.F(id)})
	must(t, err)
	equal(t, "read", read.Name, "two.example.com")
	gone, err := service.Delete(ctx, made.ID, dns.RecordDeleteParams{ZoneID: cloudflare.F(id)})
	must(t, err)
	equal(t, "deleted", gone.ID, made.ID)
	_, err = service.Get(ctx, made.ID, dns.RecordGetParams{ZoneID: cloudflare.F(id)})
	refused(t, err, 404, 81044)
}

func TestRecordsAreListedOverSeveralPagesAndByFilter(t *testing.T) {
	service, id := records(t)
	var names []string
	var posts []dns.RecordBatchParamsPostUnion
	for n := range 60 {
		name := fmt.Sprintf("r%02d", n)
		names = append(names, name+".example.com")
		posts = append(posts, cname(name, "target.example.net"))
	}
	done, err := service.Batch(context.Background(), dns.RecordBatchParams{
		ZoneID: cloudflare.F(id), Posts: cloudflare.F(posts),
	})
	must(t, err)
	wellFormed(t, done)
	listed := func(params dns.RecordListParams) []string {
		t.Helper()
		params.ZoneID = cloudflare.F(id)
		params.PerPage = cloudflare.F(25.0)
		params.Order = cloudflare.F(dns.RecordListParamsOrderName)
		var found []string
		pages := service.ListAutoPaging(context.Background(), params)
		for pages.Next() {
			record := pages.Current()
			wellFormed(t, record)
			found = append(found, record.Name)
		}
		must(t, pages.Err())
		return found
	}
	equal(t, "all", listed(dns.RecordListParams{}), names)
	equal(t, "by name", listed(dns.RecordListParams{
		Name: cloudflare.F(dns.RecordListParamsName{Startswith: cloudflare.F("r1")}),
	}), names[10:20])
	equal(t, "by comment", listed(dns.RecordListParams{
		Comment: cloudflare.F(dns.RecordListParamsComment{Exact: cloudflare.F(comment)}),
	}), names)
	equal(t, "without comment", listed(dns.RecordListParams{
		Comment: cloudflare.F(dns.RecordListParamsComment{Absent: cloudflare.F("true")}),
	}), nil)
	equal(t, "by type", listed(dns.RecordListParams{
		Type: cloudflare.F(dns.RecordListParamsTypeTXT),
	}), nil)
}

func TestABatchDoesEverythingOrNothing(t *testing.T) {
	service, id := records(t)
	ctx := context.Background()
	put, err := create(t, cname("put", "target.example.net"))
	must(t, err)
	patch, err := create(t, cname("patch", "target.example.net"))
	must(t, err)
	drop, err := create(t, cname("drop", "target.example.net"))
	must(t, err)
	patched := dns.BatchPatchCNAMERecordParam{
		ID: cloudflare.F(patch.ID), CNAMERecordParam: cname("patch", "patched.example.net"),
	}
	replaced := dns.BatchPutCNAMERecordParam{
		ID: cloudflare.F(put.ID), CNAMERecordParam: cname("put", "replaced.example.net"),
	}
	done, err := service.Batch(ctx, dns.RecordBatchParams{
		ZoneID:  cloudflare.F(id),
		Deletes: cloudflare.F([]dns.RecordBatchParamsDelete{{ID: cloudflare.F(drop.ID)}}),
		Patches: cloudflare.F([]dns.BatchPatchUnionParam{patched}),
		Puts:    cloudflare.F([]dns.BatchPutUnionParam{replaced}),
		Posts:   cloudflare.F([]dns.RecordBatchParamsPostUnion{cname("drop", "again.example.net")}),
	})
	must(t, err)
	wellFormed(t, done)
	equal(t, "deleted", done.Deletes[0].ID, drop.ID)
	equal(t, "patched", done.Patches[0].Content, "patched.example.net")
	equal(t, "replaced", done.Puts[0].Content, "replaced.example.net")
	equal(t, "made", done.Posts[0].Name, "drop.example.com")

	_, err = service.Batch(ctx, dns.RecordBatchParams{
		ZoneID:  cloudflare.F(id),
		Deletes: cloudflare.F([]dns.RecordBatchParamsDelete{{ID: cloudflare.F(patch.ID)}}),
		Posts:   cloudflare.F([]dns.RecordBatchParamsPostUnion{cname("put", "x.example.net")}),
	})
	refused(t, err, 400, 81053)
	_, err = service.Get(ctx, patch.ID, dns.RecordGetParams{ZoneID: cloudflare.F(id)})
	must(t, err)
}

func TestARecordThatExistsIsABadRequestWithItsOwnCode(t *testing.T) {
	records(t)
	_, err := create(t, cname("taken", "target.example.net"))
	must(t, err)
	_, err = create(t, cname("taken", "other.example.net"))
	refused(t, err, 400, 81053)
	_, err = create(t, cname("taken", "target.example.net"))
	refused(t, err, 400, 81058)
	_, err = create(t, dns.ARecordParam{
		Name:    cloudflare.F("taken.example.com"),
		Type:    cloudflare.F(dns.ARecordTypeA),
		Content: cloudflare.F("192.0.2.1"),
		TTL:     cloudflare.F(dns.TTL1),
	})
	refused(t, err, 400, 81054)
}
