// Package op is an API endpoint as a value: method, path, a summary, the
// permission it needs, and a function from a typed request to a typed answer.
//
// The request struct is the contract. Its field tags say where a value comes
// from and what it may be; the HTTP edge binds, checks permission, encodes and
// documents from the same value:
//
//	path:"domain"        a segment of the path, unescaped
//	form:"limit"         the query or the form body, whichever has it
//	query:"limit"        the query only
//	json:"address"       a member of a JSON body (where the body is JSON the
//	                     form:"" names are looked up in it as well)
//	header:"Accept"      a request header
//	default:"100"        value when absent
//	min:"1" max:"1000"   bounds of a number, bytes of a string, or items of a slice
//	enum:"a,b"           the allowed values
//	required:"text"      error text when absent
//	doc:"..."            description
//
// A field of type Form receives the whole body as a stream; a field tagged
// body:"json" is decoded from the whole JSON body; a []byte tagged body:"raw" is the
// body as it was sent, whatever its type, for what is signed.
package op

import (
	"context"
	"io"
	"reflect"
)

// Group is a permission group of the API; roles grant read or write per group.
// The names are those of the endpoint table.
type Group string

// The permission groups. Mailgun: the role matrix of the key management page.
const (
	Messages     Group = "messages"
	Domains      Group = "domains"
	Credentials  Group = "credentials"
	Keys         Group = "keys"
	Events       Group = "events"
	Webhooks     Group = "webhooks"
	Suppressions Group = "suppressions"
	Allowlist    Group = "allowlist"
	Routes       Group = "routes"
	Lists        Group = "lists"
	Templates    Group = "templates"
	Account      Group = "account"
	Status       Group = "status"

	// Queue is the installation's: keys of its administrators only.
	Queue Group = "queue"
)

// Access says who may call an operation.
type Access uint8

// The access levels.
const (
	Public Access = iota // no key
	Read                 // a key whose role reads the group
	Write                // a key whose role writes the group
	Send                 // a key that may send, a domain sending key included
)

// Op is one endpoint.
type Op struct {
	Method  string
	Path    string // chi pattern, "/v3/{domain}/messages"
	Summary string
	Group   Group
	Access  Access

	Doc        string // longer description, Markdown
	Deprecated bool

	// Bearer: the key comes as a bearer token (RFC 6750), and the path is the
	// operation's only where one is sent: the panel has pages of such names. What
	// the caller may do is for the operation to check.
	Bearer bool

	// Auth authenticates callers who have no API key; nil: Access says who may call.
	// It runs before anything else is read of the request, whose values (RequestFrom)
	// are in ctx, and returns the context of the operation.
	Auth func(ctx context.Context) (context.Context, error)

	// Fail makes the JSON body of an error in the words of another dialect than
	// Mailgun's; nil: Mailgun's. A Responder decides about the status as well.
	Fail func(Failure) any

	In, Out reflect.Type // struct types
	Call    func(ctx context.Context, in any) (out any, err error)
}

// New returns the operation served by fn.
func New[In, Out any](method, path string, group Group, access Access, summary string,
	fn func(context.Context, *In) (*Out, error)) Op {
	return Op{
		Method: method, Path: path, Summary: summary, Group: group, Access: access,
		In: reflect.TypeFor[In](), Out: reflect.TypeFor[Out](),
		Call: func(ctx context.Context, in any) (any, error) { return fn(ctx, in.(*In)) },
	}
}

// AsDeprecated returns the operation marked as deprecated in the documents.
func (o Op) AsDeprecated() Op { o.Deprecated = true; return o }

// Failure is an error that is about to be answered.
type Failure struct {
	Status int    // of HTTP
	Text   string // public
	Hint   string // public, may be empty
	Err    error  // for what errors.As finds in it; its text is not public
}

// WithErrors returns the operation with errors in the words of a dialect.
func (o Op) WithErrors(fail func(Failure) any) Op { o.Fail = fail; return o }

// WithAuth returns the operation with callers of its own.
func (o Op) WithAuth(auth func(context.Context) (context.Context, error)) Op {
	o.Auth = auth
	return o
}

// WithBearer returns the operation for callers with a bearer token.
func (o Op) WithBearer() Op { o.Bearer = true; return o }

// WithDoc returns the operation with a longer description.
func (o Op) WithDoc(doc string) Op { o.Doc = doc; return o }

// Empty is the request or answer without members.
type Empty struct{}

// Message is the answer of operations that only say what they did.
type Message struct {
	Message string `json:"message"`
}

// Form is a urlencoded or multipart body as a stream of fields in the order
// sent. Next returns io.EOF after the last one; a field's Body is valid until
// the next call. Errors have the texts the API documents.
type Form interface {
	Next() (Field, error)
	// Multipart reports whether the body is multipart/form-data, and
	// ContentType the declared type.
	Multipart() bool
	ContentType() string
}

// Field is one field of a Form. File parts have a Filename.
type Field struct {
	Name        string
	Filename    string
	IsFile      bool
	ContentType string
	ContentID   string // of an inline file, without brackets; "": its name
	Body        io.Reader
}

// Responder is implemented by an answer that is not plain JSON with status 200.
type Responder interface {
	Respond() Response
}

// Response is an answer in full.
type Response struct {
	Status      int    // 0 means 200
	ContentType string // empty with JSON set means application/json
	Header      [][2]string
	JSON        any  // encoded when not nil
	Pretty      bool // JSON with two spaces
	Body        io.Reader
}

// Request is what an operation may know of the request that carries it.
type Request struct {
	ID        string // request id, also in the log line and the X-Request-Id header
	Method    string
	Path      string // escaped path as sent
	RawQuery  string
	BaseURL   string // scheme://host as the client addressed us
	RemoteIP  string
	UserAgent string
	Header    func(name string) string
	SetHeader func(name, value string) // adds to the answer
}

type requestKey struct{}

// WithRequest returns a context that carries r.
func WithRequest(ctx context.Context, r *Request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// RequestFrom returns the request of ctx; outside HTTP an empty one.
func RequestFrom(ctx context.Context) *Request {
	if r, ok := ctx.Value(requestKey{}).(*Request); ok {
		return r
	}
	return &Request{Header: func(string) string { return "" }, SetHeader: func(string, string) {}}
}
