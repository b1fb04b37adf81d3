package mime

import "bytes"

// EditHeader gives the message raw as pieces to be written one after another:
// without the fields remove names (nil removes none), with the prepended
// fields first and the appended ones last in the header. All other octets are
// those of raw and are not copied. raw should have CRLF line ends, as added
// lines do. The error is a *FieldError or ErrHeaderTooLarge.
func EditHeader(raw []byte, remove func(RawField) bool, prepend, added []Field) ([][]byte, error) {
	fields, body, err := ScanHeader(raw)
	if err != nil {
		return nil, err
	}
	pieces := make([][]byte, 0, 6)
	if pieces, err = appendFields(pieces, prepend); err != nil {
		return nil, err
	}
	keep, end := 0, headerEnd(fields)
	for _, f := range fields {
		if remove == nil || !remove(f) {
			continue
		}
		if f.Start > keep {
			pieces = append(pieces, raw[keep:f.Start])
		}
		keep = f.End
	}
	return finishEdit(pieces, raw, keep, end, body, added)
}

func headerEnd(fields Fields) int {
	if n := len(fields); n > 0 {
		return fields[n-1].End
	}
	return 0
}

// finishEdit adds the rest of the header, the added fields and the body. A
// header that just stops gets the line ends it lacks.
func finishEdit(pieces [][]byte, raw []byte, keep, end, body int, added []Field) ([][]byte, error) {
	if end > keep {
		pieces = append(pieces, raw[keep:end])
		if raw[end-1] != '\n' {
			pieces = append(pieces, []byte("\r\n"))
		}
	}
	pieces, err := appendFields(pieces, added)
	if err != nil {
		return nil, err
	}
	if body == end {
		pieces = append(pieces, []byte("\r\n"))
	}
	if end < len(raw) {
		pieces = append(pieces, raw[end:])
	}
	return pieces, nil
}

func appendFields(pieces [][]byte, fields []Field) ([][]byte, error) {
	if len(fields) == 0 {
		return pieces, nil
	}
	var b []byte
	for _, f := range fields {
		var err error
		if b, err = AppendField(b, f); err != nil {
			return nil, err
		}
	}
	return append(pieces, b), nil
}

// DelHeader gives raw without the fields of these names, see EditHeader.
func DelHeader(raw []byte, names ...string) ([][]byte, error) {
	return EditHeader(raw, func(f RawField) bool {
		for _, n := range names {
			if f.Is(n) {
				return true
			}
		}
		return false
	}, nil, nil)
}

// SetHeader gives raw with the field in the place of the first one of its
// name, the others of that name removed, or at the end of the header if there
// was none. See EditHeader.
func SetHeader(raw []byte, field Field) ([][]byte, error) {
	fields, body, err := ScanHeader(raw)
	if err != nil {
		return nil, err
	}
	line, err := AppendField(nil, field)
	if err != nil {
		return nil, err
	}
	if _, ok := fields.Find(field.Name); !ok {
		return finishEdit(nil, raw, 0, headerEnd(fields), body, []Field{field})
	}
	var pieces [][]byte
	keep, done := 0, false
	for _, f := range fields {
		if !f.Is(field.Name) {
			continue
		}
		if f.Start > keep {
			pieces = append(pieces, raw[keep:f.Start])
		}
		if !done {
			pieces, done = append(pieces, line), true
		}
		keep = f.End
	}
	return finishEdit(pieces, raw, keep, headerEnd(fields), body, nil)
}

// Join puts pieces together.
func Join(pieces [][]byte) []byte { return bytes.Join(pieces, nil) }
