package suppress

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
)

const importDoc = "`file` is a CSV file in UTF-8 of up to 25 MB. Its first line names the columns, in any order and case; " +
	"columns that are not known do not count. Commas, semicolons or tabs separate. " +
	"The file is worked on in the background; what the header field Location of the answer names says how far it is and which rows were not taken. " +
	"Dates are RFC 2822, RFC 3339 or seconds since 1970. Columns: "

// columnDoc names the columns of each list.
var columnDoc = map[Kind]string{
	Bounces:      "`address`, `code`, `error`, `created_at`.",
	Complaints:   "`address`, `created_at`.",
	Unsubscribes: "`address`, `tags` (`a, b`, `[a, b]`, or `*` for all mail), `created_at`.",
	Allowlist:    "`address` or `domain`, one of them in each row, `reason`, `created_at`.",
}

type importIn struct {
	DomainName string  `path:"domain_name" doc:"Name of the domain"`
	Form       op.Form `doc:"the file"`
}

// FormDoc documents the field of the form, which is read as a stream.
func (importIn) FormDoc() any {
	return struct {
		File []byte `form:"file" doc:"CSV file"`
	}{}
}

type importOut struct {
	Message string `json:"message"`

	id int64
}

// Respond implements op.Responder. Mailgun: 202 and this text alone, so that where
// to ask about the import stands in the header (RFC 9110 section 15.3.3).
func (o *importOut) Respond() op.Response {
	return op.Response{Status: 202, JSON: *o, Header: [][2]string{{"Location", importsPath + "/" + strconv.FormatInt(o.id, 10)}}}
}

// importsPath is where imports are told of.
const importsPath = "/v1/postroad/suppression-imports"

// importOp is the import of a list.
func importOp(l *list, g op.Group, what string) op.Op {
	return op.New("POST", l.path()+"/import", g, op.Write, "Import "+what+" from a CSV file", l.upload).WithDoc(importDoc + columnDoc[l.kind])
}

func (l *list) upload(ctx context.Context, in *importIn) (*importOut, error) {
	caller := account.From(ctx)
	d, err := l.domains.Owned(ctx, caller, in.DomainName)
	if err != nil {
		return nil, err
	}
	im := &Import{AccountID: caller.AccountID, DomainID: d.ID, Domain: d.Name, Kind: l.kind, Key: caller.KeyID}
	if err := l.s.receive(ctx, im, in.Form); err != nil {
		return nil, err
	}
	return &importOut{"file uploaded successfully for processing. standby...", im.ID}, nil
}

// importOps are the operations that tell of imports.
func (s *Service) importOps() []op.Op {
	return []op.Op{
		op.New("GET", importsPath, op.Suppressions, op.Read, "List imports of suppressions", s.listImports),
		op.New("GET", importsPath+"/{id}", op.Suppressions, op.Read, "Get an import of suppressions", s.getImport),
		op.New("GET", importsPath+"/{id}/errors", op.Suppressions, op.Read, "Get the rows an import did not take", s.getErrors).
			WithDoc(fmt.Sprintf("The first %d of them with line, reason and beginning; `failed` of the import counts all. They are kept for %d days.",
				maxErrors, keepErrors/(24*time.Hour))),
	}
}

type importView struct {
	ID       string     `json:"id"`
	Domain   string     `json:"domain"`
	List     Kind       `json:"list" enum:"bounces,complaints,unsubscribes,whitelists"`
	File     string     `json:"file" doc:"Name of the file as the client gave it"`
	Key      string     `json:"key-id" doc:"API key it came with"`
	State    State      `json:"state" enum:"receiving,waiting,importing,finished"`
	Size     int64      `json:"size" doc:"Bytes of the file"`
	Done     int64      `json:"done" doc:"Bytes worked on"`
	Imported int64      `json:"imported" doc:"Rows that are on the list"`
	Failed   int64      `json:"failed" doc:"Rows that were not taken"`
	Created  time.Time  `json:"created"`
	Started  *time.Time `json:"started,omitempty"`
	Finished *time.Time `json:"finished,omitempty"`
}

func viewImport(im *Import) importView {
	return importView{ID: strconv.FormatInt(im.ID, 10), Domain: im.Domain, List: im.Kind, File: im.File, Key: im.Key, State: im.State, Size: im.Size,
		Done: im.Done, Imported: im.Imported, Failed: im.Failed, Created: utc(im.Created), Started: moment(im.Started), Finished: moment(im.Finished)}
}

func utc(micro int64) time.Time { return time.UnixMicro(micro).UTC() }

func moment(micro int64) *time.Time {
	if micro == 0 {
		return nil
	}
	t := utc(micro)
	return &t
}

type importsIn struct {
	Domain string `query:"domain" doc:"Only imports of this domain"`
	Limit  int    `query:"limit" default:"100" min:"1" max:"1000" doc:"Number of imports"`
	Before string `query:"before" doc:"Only imports older than the one with this id"`
}

type importsOut struct {
	Items []importView `json:"items" doc:"Imports, newest first"`
}

func (s *Service) listImports(ctx context.Context, in *importsIn) (*importsOut, error) {
	before := int64(0)
	if in.Before != "" {
		var err error
		if before, err = strconv.ParseInt(in.Before, 10, 64); err != nil || before <= 0 {
			return nil, errs.New(errs.Invalid, "'before' parameter is invalid: it is not the id of an import")
		}
	}
	domain := ""
	if in.Domain != "" {
		domain = key(in.Domain)
	}
	var list []*Import
	err := s.db.Read(ctx, func(tx *db.Tx) (err error) {
		list, err = selectImports(tx, account.From(ctx).AccountID, domain, before, in.Limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list imports: %w", err)
	}
	out := &importsOut{Items: make([]importView, len(list))}
	for i, im := range list {
		out.Items[i] = viewImport(im)
	}
	return out, nil
}

type anImportIn struct {
	ID string `path:"id" doc:"Id of the import"`
}

// find returns an import of the caller's and, where wanted, its errors.
func (s *Service) find(ctx context.Context, id string, withErrors bool) (im *Import, list []RowError, err error) {
	if n, bad := strconv.ParseInt(id, 10, 64); bad == nil {
		err = s.db.Read(ctx, func(tx *db.Tx) (err error) {
			if im, err = selectImport(tx, account.From(ctx).AccountID, n); err == nil && im != nil && withErrors {
				list, err = selectErrors(tx, im.ID)
			}
			return err
		})
	}
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("get import: %w", err)
	case im == nil:
		return nil, nil, errs.New(errs.NotFound, "Import not found")
	}
	return im, list, nil
}

func (s *Service) getImport(ctx context.Context, in *anImportIn) (*importView, error) {
	im, _, err := s.find(ctx, in.ID, false)
	if err != nil {
		return nil, err
	}
	v := viewImport(im)
	return &v, nil
}

type errorsIn struct {
	ID     string `path:"id" doc:"Id of the import"`
	Format string `query:"format" default:"json" enum:"json,csv" doc:"Form of the answer"`
}

type rowErrorView struct {
	Line    int64  `json:"line" doc:"Line of the file where the row begins, counted from 1"`
	Reason  string `json:"reason"`
	Content string `json:"content" doc:"Beginning of the row"`
}

type errorsOut struct {
	Items  []rowErrorView `json:"items" doc:"Rows that were not taken, in their order"`
	Failed int64          `json:"failed" doc:"How many there are in all"`

	csv bool
}

// Respond implements op.Responder.
func (o *errorsOut) Respond() op.Response {
	if !o.csv {
		return op.Response{JSON: *o}
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	rows := [][]string{{"line", "reason", "content"}}
	for _, e := range o.Items {
		rows = append(rows, []string{strconv.FormatInt(e.Line, 10), inert(e.Reason), inert(e.Content)})
	}
	_ = w.WriteAll(rows) // to memory
	return op.Response{ContentType: "text/csv; charset=utf-8", Body: &b,
		Header: [][2]string{{"Content-Disposition", `attachment; filename="import-errors.csv"`}}}
}

// inert keeps a spreadsheet from taking a cell for a formula.
func inert(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}

func (s *Service) getErrors(ctx context.Context, in *errorsIn) (*errorsOut, error) {
	im, list, err := s.find(ctx, in.ID, true)
	if err != nil {
		return nil, err
	}
	out := &errorsOut{Items: make([]rowErrorView, len(list)), Failed: im.Failed, csv: in.Format == "csv"}
	for i, e := range list {
		out.Items[i] = rowErrorView(e)
	}
	return out, nil
}
