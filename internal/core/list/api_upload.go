package list

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strconv"
	"strings"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/op"
)

const jsonDoc = `members is a JSON array of addresses, or of objects with address, name, vars and subscribed. Up to 100 are added at once, all or none; up to 1,000 in the background, each by itself: the events list_member_uploaded, list_member_upload_error and list_uploaded say how it went.`

const csvDoc = `members is a CSV file of up to 5 MB in UTF-8. Its first row names the columns address, name, vars (a JSON object) and subscribed; other columns become variables. Without such a row the columns are address, name and vars. It is worked on in the background, see members.json.`

type uploadJSONIn struct {
	ListAddress string `path:"list_address" doc:"Address of the list"`
	Members     string `form:"members" required:"Missing mandatory parameter: members" max:"5242880" doc:"JSON array of addresses or objects"`
	Subscribed  bool   `form:"subscribed" default:"yes" doc:"For new members that do not say"`
	Upsert      bool   `form:"upsert" default:"no" doc:"yes: change members that are there; no: refuse them"`
}

type uploadOut struct {
	List    listView `json:"list"`
	Message string   `json:"message"`
	TaskID  string   `json:"task-id,omitempty" doc:"Names the work in the background in events"`
}

// Respond implements op.Responder.
func (o *uploadOut) Respond() op.Response { return pretty(*o) }

// target is Get with the text of uploads.
func (s *Service) target(ctx context.Context, address string) (*List, error) {
	l, err := s.Get(ctx, address)
	if errs.Is(err, errs.NotFound) {
		return nil, missingQuoted(address)
	}
	return l, err
}

func (s *Service) uploadJSON(ctx context.Context, in *uploadJSONIn) (*uploadOut, error) {
	l, err := s.target(ctx, in.ListAddress)
	if err != nil {
		return nil, err
	}
	list, err := jsonMembers(in.Members)
	if err != nil {
		return nil, err
	}
	if len(list) > maxAtOnce {
		return s.enqueue(ctx, l, &upload{format: "json", upsert: in.Upsert, subscribed: in.Subscribed, data: []byte(in.Members)})
	}
	all := make([]candidate, len(list))
	for i, raw := range list {
		r := jsonRecord(raw, in.Subscribed)
		if r.err != nil {
			return nil, r.err
		}
		all[i] = r.candidate
	}
	if err := s.addAll(ctx, l, all, in.Upsert); err != nil {
		return nil, err
	}
	if l, err = s.target(ctx, in.ListAddress); err != nil {
		return nil, err
	}
	return &uploadOut{List: view(l), Message: "Mailing list has been updated"}, nil
}

// jsonMembers reads the array, no further than it may be long.
func jsonMembers(text string) (list []json.RawMessage, err error) {
	bad := errs.New(errs.Invalid, "'members' parameter is not a valid JSON array")
	dec := json.NewDecoder(strings.NewReader(text))
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		return nil, bad
	}
	for dec.More() {
		if len(list) == maxJSONMembers {
			return nil, errs.New(errs.Invalid, "Too many members, max is %d", maxJSONMembers)
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, bad
		}
		list = append(list, raw)
	}
	if _, err := dec.Token(); err != nil { // the closing bracket
		return nil, bad
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, bad
	}
	return list, nil
}

func (s *Service) enqueue(ctx context.Context, l *List, u *upload) (*uploadOut, error) {
	u.id, u.listID = s.IDs.Next(), l.ID
	if err := s.DB.Write(ctx, func(tx *db.Tx) error {
		if ok, err := lockList(tx, l.ID); err != nil || !ok {
			if err == nil {
				err = missingQuoted(l.Address)
			}
			return err
		}
		return insertUpload(tx, u)
	}); err != nil {
		return nil, err
	}
	s.poke()
	return &uploadOut{List: view(l), Message: "Mailing list upload started in background", TaskID: strconv.FormatInt(u.id, 10)}, nil
}

type uploadCSVIn struct {
	ListAddress string  `path:"list_address" doc:"Address of the list"`
	Form        op.Form `doc:"the members"`
}

// FormDoc documents the fields of the form, which is read as a stream.
func (uploadCSVIn) FormDoc() any {
	return struct {
		Members    []byte `form:"members" doc:"CSV file"`
		Subscribed bool   `form:"subscribed" doc:"For new members that do not say; yes if absent"`
		Upsert     bool   `form:"upsert" doc:"yes: change members that are there; no: refuse them"`
	}{}
}

func (s *Service) uploadCSV(ctx context.Context, in *uploadCSVIn) (*uploadOut, error) {
	l, err := s.target(ctx, in.ListAddress)
	if err != nil {
		return nil, err
	}
	select {
	case s.reading <- struct{}{}:
		defer func() { <-s.reading }()
	default:
		return nil, errs.New(errs.Unavailable, "too many files are being received at this moment, try again later")
	}
	u := &upload{format: "csv", subscribed: true}
	if err := u.read(in.Form); err != nil {
		return nil, err
	}
	return s.enqueue(ctx, l, u)
}

// read takes the form apart, no more of it than a file may have.
func (u *upload) read(f op.Form) error {
	for {
		field, err := f.Next()
		if err == io.EOF { // not errors.Is: a body that breaks off is no end
			break
		}
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(io.LimitReader(field.Body, maxUpload+1)); err != nil {
			return err
		}
		if b.Len() > maxUpload {
			return errs.New(errs.Invalid, "CSV file is too big, max allowed size is 5 MB")
		}
		switch strings.TrimSuffix(field.Name, "[]") {
		case "members":
			u.data = b.Bytes()
		case "upsert":
			v, err := yesNo(b.String())
			if err != nil {
				return errs.New(errs.Invalid, "'upsert' parameter is invalid: must be yes or no")
			}
			u.upsert = v != nil && *v
		case "subscribed":
			v, err := yesNo(b.String())
			if err != nil {
				return err
			}
			u.subscribed = v == nil || *v
		}
	}
	if len(u.data) == 0 {
		return errs.New(errs.Invalid, "Missing mandatory parameter: members")
	}
	return nil
}
