package db

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// A payload is the staged statements of the transactions of one record, in
// their order: for each a kind, the table, the columns, for an insert the
// suffix, the number of values, and the values. The statement is written in
// full: a record is read without knowledge of the program that wrote it, and
// the names are short beside the rows.

const (
	kindInsert = 1
	kindDelete = 2
)

const (
	tagNil byte = iota
	tagInt
	tagText
	tagBytes
	tagFloat
	tagTrue
	tagFalse
)

// errValue is a type of value that cannot be staged.
var errValue = errors.New("value of a type that cannot be staged")

// appendStage encodes one statement with its rows.
func appendStage(b []byte, s *stage) ([]byte, error) {
	if s.ins != nil {
		b = append(b, kindInsert)
		b = appendText(b, s.ins.Table)
		b = binary.AppendUvarint(b, uint64(len(s.ins.Columns)))
		for _, c := range s.ins.Columns {
			b = appendText(b, c)
		}
		b = appendText(b, s.ins.Suffix)
	} else {
		b = append(b, kindDelete)
		b = appendText(b, s.del.Table)
		b = appendText(b, s.del.Column)
	}
	b = binary.AppendUvarint(b, uint64(len(s.args)))
	var err error
	for _, v := range s.args {
		if b, err = appendValue(b, v); err != nil {
			return b, fmt.Errorf("%s: %w", s.table(), err)
		}
	}
	return b, nil
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendValue(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, tagNil), nil
	case int64:
		return binary.AppendVarint(append(b, tagInt), v), nil
	case int:
		return binary.AppendVarint(append(b, tagInt), int64(v)), nil
	case string:
		return appendText(append(b, tagText), v), nil
	case []byte:
		if v == nil {
			return append(b, tagNil), nil
		}
		b = binary.AppendUvarint(append(b, tagBytes), uint64(len(v)))
		return append(b, v...), nil
	case float64:
		return binary.LittleEndian.AppendUint64(append(b, tagFloat), math.Float64bits(v)), nil
	case bool:
		if v {
			return append(b, tagTrue), nil
		}
		return append(b, tagFalse), nil
	}
	return b, fmt.Errorf("%w: %T", errValue, v)
}

// errPayload is a record whose checksum is right and whose content is not:
// another program's.
var errPayload = errors.New("record cannot be read")

// decoder reads a payload. After an error it returns zero values.
type decoder struct {
	b   []byte
	bad bool
}

// decodeStages reads a payload.
func decodeStages(payload []byte) ([]*stage, error) {
	d := &decoder{b: payload}
	var out []*stage
	for len(d.b) > 0 && !d.bad {
		out = append(out, d.stage())
	}
	if d.bad {
		return nil, errPayload
	}
	return out, nil
}

func (d *decoder) stage() *stage {
	s := &stage{}
	switch d.byte() {
	case kindInsert:
		s.ins = &Insert{Table: d.text()}
		for n := d.count(1); n > 0 && !d.bad; n-- {
			s.ins.Columns = append(s.ins.Columns, d.text())
		}
		s.ins.Suffix = d.text()
		s.cols = len(s.ins.Columns)
	case kindDelete:
		s.del = &Delete{Table: d.text(), Column: d.text()}
		s.cols = 1
	default:
		d.bad = true
	}
	n := d.count(1)
	if !d.bad && (s.cols == 0 || n%s.cols != 0) {
		d.bad = true
	}
	if !d.bad {
		s.args = make([]any, 0, n)
	}
	for ; n > 0 && !d.bad; n-- {
		s.args = append(s.args, d.value())
	}
	return s
}

func (d *decoder) value() any {
	switch d.byte() {
	case tagNil:
		return nil
	case tagInt:
		v, n := binary.Varint(d.b)
		d.skip(n)
		return v
	case tagText:
		return d.text()
	case tagBytes:
		return []byte(d.text())
	case tagFloat:
		if len(d.b) < 8 {
			d.bad = true
			return nil
		}
		v := math.Float64frombits(binary.LittleEndian.Uint64(d.b))
		d.skip(8)
		return v
	case tagTrue:
		return true
	case tagFalse:
		return false
	}
	d.bad = true
	return nil
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

// count reads a number of things that take at least size bytes each.
func (d *decoder) count(size int) int {
	v, n := binary.Uvarint(d.b)
	d.skip(n)
	if d.bad || v > uint64(len(d.b)/size) {
		d.bad = true
		return 0
	}
	return int(v)
}

func (d *decoder) text() string {
	n := d.count(1)
	if d.bad {
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) skip(n int) {
	if n <= 0 || n > len(d.b) {
		d.bad = true
		d.b = nil
		return
	}
	d.b = d.b[n:]
}

// same reports whether two stages are rows of the same statement.
func (s *stage) same(o *stage) bool {
	if s.ins != nil && o.ins != nil {
		return s.ins == o.ins || s.ins.equal(o.ins)
	}
	return s.del != nil && o.del != nil && *s.del == *o.del
}
