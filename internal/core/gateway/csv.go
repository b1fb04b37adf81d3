package gateway

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"postroad/internal/base/errs"
	"postroad/internal/core/provider"
)

// Columns that are no variables.
const (
	columnID        = "id"
	columnEmail     = "email"
	columnVariables = "variables"
	columnMetadata  = "metadata"
)

// maxColumns bounds a row.
const maxColumns = 100

// readCSV reads participants from a file whose first row names the columns.
func readCSV(data []byte) ([]Participant, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		return nil, invalid("the CSV file is not text in UTF-8")
	}
	r := csv.NewReader(bytes.NewReader(data))
	r.ReuseRecord, r.TrimLeadingSpace = true, true
	head, err := r.Read()
	if err != nil {
		return nil, badCSV(err)
	}
	names := slices.Clone(head)
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	if len(names) > maxColumns || !slices.Contains(names, columnID) || !slices.Contains(names, columnEmail) {
		return nil, invalid("the first row of the CSV file must name up to %d columns, among them id and email", maxColumns)
	}
	var out []Participant
	for {
		row, err := r.Read()
		switch {
		case err == io.EOF && len(out) == 0:
			return nil, invalid("the CSV file has no participants")
		case err == io.EOF:
			return out, nil
		case err != nil:
			return nil, badCSV(err)
		}
		p, err := fromRow(names, row)
		if err == nil {
			err = p.check()
		}
		if err != nil {
			line, _ := r.FieldPos(0)
			return nil, &refusal{public: errs.New(errs.Invalid, "line %d of the CSV file is invalid", line), details: err.Error()}
		}
		out = append(out, p)
	}
}

func badCSV(err error) error {
	if err == io.EOF {
		return invalid("the CSV file is empty")
	}
	return &refusal{public: errs.New(errs.Invalid, "the CSV file cannot be read"), details: err.Error()}
}

func fromRow(names, row []string) (p Participant, err error) {
	p.Variables = provider.Variables{}
	for i, value := range row {
		switch names[i] {
		case columnID:
			if p.ID, err = strconv.ParseInt(strings.TrimSpace(value), 10, 64); err != nil {
				return p, errNoID
			}
		case columnEmail:
			p.Email = strings.Clone(value)
		case columnVariables:
			if value != "" && json.Unmarshal([]byte(value), &p.Variables) != nil {
				return p, errors.New("variables must be a JSON object")
			}
		case columnMetadata:
			if value != "" && json.Unmarshal([]byte(value), &p.Metadata) != nil {
				return p, errors.New("metadata must be a JSON object")
			}
		default:
			p.Variables[names[i]] = strings.Clone(value)
		}
	}
	return p, nil
}
