package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
)

type putIn struct {
	Participants participants `json:"participants" doc:"up to 1,000 objects with id, email, variables and metadata"`
}

type putOut struct {
	Success bool `json:"success"`
	Count   int  `json:"count" doc:"how many were added or changed"`
}

func (s *Service) putParticipants(ctx context.Context, in *putIn) (*putOut, error) {
	if len(in.Participants) == 0 {
		return nil, invalid("participants are required")
	}
	var c checked
	for i := range in.Participants {
		p := &in.Participants[i]
		switch err := p.check(); {
		case errors.Is(err, errNoID):
			return nil, invalid("participants[%d]: %s", i, err)
		case err != nil:
			c.bad(p.Email)
		}
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	return &putOut{true, len(in.Participants)}, s.put(ctx, account.From(ctx).AccountID, in.Participants)
}

const csvDoc = "The file of up to 5 MB is the field file of a multipart form. Its first row names the columns id, email, variables (a JSON object) and metadata (a JSON object); other columns become variables. All rows are taken or none."

type csvIn struct {
	Form op.Form `doc:"the participants"`
}

// FormDoc documents the fields of the form.
func (csvIn) FormDoc() any {
	return struct {
		File []byte `form:"file" doc:"CSV file"`
	}{}
}

func (s *Service) uploadParticipants(ctx context.Context, in *csvIn) (*putOut, error) {
	data, err := readFile(in.Form)
	if err != nil {
		return nil, err
	}
	list, err := readCSV(data)
	if err != nil {
		return nil, err
	}
	for part := range slices.Chunk(list, maxPut) { // the other writers get their turn; who uploads again changes nothing
		if err := s.put(ctx, account.From(ctx).AccountID, part); err != nil {
			return nil, err
		}
	}
	return &putOut{true, len(list)}, nil
}

const maxCSV = 5 << 20

func readFile(f op.Form) ([]byte, error) {
	for {
		field, err := f.Next()
		if err == io.EOF { // not errors.Is: a body that breaks off is no end
			return nil, invalid("file is required")
		}
		if err != nil {
			return nil, err
		}
		if field.Name != "file" {
			continue
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(io.LimitReader(field.Body, maxCSV+1)); err != nil {
			return nil, err
		}
		if b.Len() > maxCSV {
			return nil, errs.New(errs.TooLarge, "the CSV file is larger than %d MB", maxCSV>>20)
		}
		return b.Bytes(), nil
	}
}

type listParticipantsIn struct {
	After int64 `query:"after" default:"0" min:"0" doc:"id after which to begin"`
	Limit int   `query:"limit" default:"100" min:"1" max:"1000" doc:"how many"`
}

type participantView struct {
	ID        int64  `json:"id"`
	Email     string `json:"email"`
	Variables any    `json:"variables"`
	Metadata  any    `json:"metadata"`
}

type listParticipantsOut struct {
	Participants []participantView `json:"participants"`
	Total        int64             `json:"total" doc:"how many there are"`
}

func (s *Service) listParticipants(ctx context.Context, in *listParticipantsIn) (*listParticipantsOut, error) {
	out := &listParticipantsOut{Participants: []participantView{}}
	err := s.DB.Read(ctx, func(tx *db.Tx) error {
		owner := account.From(ctx).AccountID
		list, err := participantsAfter(tx, owner, in.After, in.Limit)
		if err != nil {
			return err
		}
		for _, p := range list {
			out.Participants = append(out.Participants, participantView{p.ID, p.Email, orEmpty(p.Variables), orEmpty(p.Metadata)})
		}
		out.Total, err = countParticipants(tx, owner)
		return err
	})
	return out, err
}

func orEmpty[M ~map[string]V, V any](m M) any {
	if m == nil {
		return struct{}{}
	}
	return m
}

type deleteIn struct {
	IDs []int64 `form:"ids" required:"ids are required" max:"1000" split:"," doc:"ids, comma-separated or repeated, or an array in JSON"`
}

type deleteOut struct {
	Success bool  `json:"success"`
	Deleted int64 `json:"deleted" doc:"how many there were"`
}

func (s *Service) deleteParticipants(ctx context.Context, in *deleteIn) (*deleteOut, error) {
	out := &deleteOut{Success: true}
	err := s.DB.Write(ctx, func(tx *db.Tx) (err error) {
		out.Deleted, err = removeParticipants(tx, account.From(ctx).AccountID, in.IDs)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("delete participants: %w", err)
	}
	return out, nil
}
