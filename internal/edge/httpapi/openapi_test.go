package httpapi

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"postroad/internal/base/op"
)

type node struct {
	Name     string     `json:"name" doc:"Its name."`
	Children []node     `json:"children,omitempty"`
	Parent   *time.Time `json:"parent"`
	Nick     *string    `json:"nick"`
}

type treeOut struct {
	Root  node              `json:"root" doc:"The tree."`
	Extra map[string]any    `json:"extra,omitempty"`
	Tags  map[string]string `json:"tags"`
	_     int               // not exported: no member
}

func docOps() []op.Op {
	return []op.Op{
		echo[manyIn]("POST", "/v3/{domain}/many", op.Write), echo[manyIn]("GET", "/v3/{domain}/many", op.Read).AsDeprecated(),
		echo[treeIn]("POST", "/v3/tree", op.Write), echo[wholeIn]("POST", "/v3/whole", op.Write),
		op.New("POST", "/v3/{domain}/messages", op.Messages, op.Send, "Send a message", fields).WithDoc("Sends *mail*."),
		op.New("GET", "/v3/domains/{name}", op.Domains, op.Read, "Get | a domain", func(context.Context, *nameIn) (*treeOut, error) { return nil, nil }),
		echo[struct {
			Domain string `path:"domain_name" doc:"Domain." json:"domain"`
		}]("DELETE", "/v3/{domain_name}/many", op.Write),
		echo[none]("GET", "/v3/open", op.Public),
		op.New("GET", "/v3/raw", op.Status, op.Public, "Raw", func(context.Context, *none) (*reply, error) { return nil, nil }),
	}
}

func TestOpenAPIIsValid(t *testing.T) {
	a := newAPI(t, Config{Ops: docOps(), Version: "1.2.3"})
	w := httptest.NewRecorder()
	a.ServeHTTP(w, httptest.NewRequest("GET", "/openapi.json", nil))
	doc, err := openapi3.NewLoader().LoadFromData(w.Body.Bytes())
	if err != nil {
		t.Fatalf("load: %v\n%s", err, w.Body)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatalf("validate: %v", err)
	}
	if doc.Info.Version != "1.2.3" || doc.OpenAPI != "3.1.0" {
		t.Errorf("%s %s", doc.OpenAPI, doc.Info.Version)
	}
	// Two patterns that differ in the name of a value are one path.
	many := doc.Paths.Find("/v3/{domain}/many")
	if many == nil || many.Post == nil || many.Get == nil || many.Delete == nil {
		t.Fatalf("many: %+v", many)
	}
	if p := many.Delete.Parameters.GetByInAndName("path", "domain"); p == nil {
		t.Error("the value of DELETE was not renamed")
	}
	if !many.Get.Deprecated || many.Get.Parameters.GetByInAndName("query", "limit") == nil {
		t.Error("GET has no deprecation or no limit parameter")
	}
	limit := many.Post.RequestBody.Value.Content["multipart/form-data"].Schema.Value.Properties["limit"].Value
	if *limit.Min != 1 || *limit.Max != 1000 || limit.Default != float64(100) {
		t.Errorf("limit: %+v", limit)
	}
	if id := doc.Paths.Find("/v3/{domain}/messages").Post.OperationID; id != "post_v3_domain_messages" {
		t.Errorf("operationId %q", id)
	}
	if doc.Paths.Find("/v3/{domain}/messages").Post.RequestBody.Value.Content["multipart/form-data"].Schema.Value.Properties["to"] == nil {
		t.Error("FormDoc was not used")
	}
	if n := doc.Components.Schemas["httpapi.node"]; n == nil || n.Value.Properties["children"].Value.Items.Ref != "#/components/schemas/httpapi.node" {
		t.Errorf("node: %+v", n)
	}
	if sec := doc.Paths.Find("/v3/open").Get.Security; sec == nil || len(*sec) != 0 {
		t.Error("a public operation asks for a key")
	}
}

func TestOpenAPIIsStable(t *testing.T) {
	one, err := json.Marshal(OpenAPI(docOps(), ""))
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if two, err := json.Marshal(OpenAPI(docOps(), "")); err != nil || string(one) != string(two) {
			t.Fatalf("another document: %v", err)
		}
	}
}

func TestReferenceMarkdown(t *testing.T) {
	got := ReferenceMarkdown(docOps())
	for _, want := range []string{
		"## domains\n", "### GET /v3/domains/{name}\n\nGet | a domain\n", "Access: read. Deprecated.", "Sends *mail*.",
		"| `limit` | form | integer | `100` | between 1 and 1000 | Page size. |",
		"| `event` | form | list of string |  | one of opened, clicked |  |",
		"| `to` | form | list of string |  | required | Recipient. |",
		"| `root.children[].name` | string | Its name. |",
		"| `file` | form | file |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestCheckOps(t *testing.T) {
	good := op.New("GET", "/v3/domains/{name}", op.Domains, op.Read, "Get a domain", func(context.Context, *nameIn) (*treeOut, error) { return nil, nil })
	if err := CheckOps([]op.Op{good}); err != nil {
		t.Errorf("good: %v", err)
	}
	noGroup, noSummary, access := good, good, good
	noGroup.Group, noSummary.Summary, access.Access = "", " ", 9
	tests := []struct {
		op   op.Op
		want string
	}{
		{noGroup, "no permission group"}, {noSummary, "summary must be one line"}, {access, "unknown access level 9"},
		{echo[wantIn]("POST", "/v3/want", op.Write), "parameter address has no doc tag"},
		{echo[struct{ A string }]("GET", "/v3/a", op.Read), "no tag"},
	}
	for _, tt := range tests {
		if err := CheckOps([]op.Op{tt.op}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("want %q, got %v", tt.want, err)
		}
	}
	if err := CheckOps([]op.Op{good, good}); err == nil || !strings.Contains(err.Error(), "already taken") {
		t.Errorf("twice: %v", err)
	}
}
