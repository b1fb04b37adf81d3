package httpapi

import (
	"errors"
	"fmt"
	"math"
	"net/mail"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"postroad/internal/base/errs"
)

// converter sets v from text. Its errors complete "'x' parameter is invalid: ".
type converter func(v reflect.Value, s string) error

// converterOf returns the converter of a plain type.
func converterOf(t reflect.Type) (converter, bool) {
	if t == timeType {
		return setTime, true
	}
	switch k := t.Kind(); {
	case k == reflect.String:
		return func(v reflect.Value, s string) error { v.SetString(s); return nil }, true
	case k == reflect.Bool:
		return setBool, true
	case isInt(k):
		return setInt, true
	case isUint(k):
		return setUint, true
	case k == reflect.Float32 || k == reflect.Float64:
		return setFloat, true
	}
	return nil, false
}

func isInt(k reflect.Kind) bool  { return k >= reflect.Int && k <= reflect.Int64 }
func isUint(k reflect.Kind) bool { return k >= reflect.Uint && k <= reflect.Uint64 }
func isNumber(k reflect.Kind) bool {
	return k >= reflect.Int && k <= reflect.Float64 && k != reflect.Uintptr
}

// setBool takes what Mailgun's clients send: yes and no, true and false.
func setBool(v reflect.Value, s string) error {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "yes", "true", "1":
		v.SetBool(true)
	case "no", "false", "0":
		v.SetBool(false)
	default:
		return errors.New("must be yes or no")
	}
	return nil
}

func setInt(v reflect.Value, s string) error {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, v.Type().Bits())
	if err != nil {
		return errors.New("must be an integer")
	}
	v.SetInt(n)
	return nil
}

func setUint(v reflect.Value, s string) error {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, v.Type().Bits())
	if err != nil {
		return errors.New("must be a positive integer")
	}
	v.SetUint(n)
	return nil
}

func setFloat(v reflect.Value, s string) error {
	n, err := strconv.ParseFloat(strings.TrimSpace(s), v.Type().Bits())
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return errors.New("must be a number")
	}
	v.SetFloat(n)
	return nil
}

func setTime(v reflect.Value, s string) error {
	t, err := parseTime(s)
	if err != nil {
		return err
	}
	v.Set(reflect.ValueOf(t))
	return nil
}

// obsoleteZones are the letters RFC 5322 section 4.3 still gives a meaning,
// which net/mail does not know.
var obsoleteZones = map[string]string{
	"EST": "-0500", "EDT": "-0400", "CST": "-0600", "CDT": "-0500",
	"MST": "-0700", "MDT": "-0600", "PST": "-0800", "PDT": "-0700",
}

// maxEpoch is the last second of the year 9999.
const maxEpoch = 253402300799

// parseTime reads a date as the API takes it: RFC 2822 with its obsolete
// forms, seconds since 1970 with or without a fraction, or RFC 3339.
func parseTime(s string) (time.Time, error) {
	s = strings.TrimSpace(s)
	bad := errs.New(errs.Invalid, "%s is not an RFC-2822 compliant date", clip(s, 64))
	if len(s) == 0 || len(s) > 128 {
		return time.Time{}, bad
	}
	if sec, err := strconv.ParseFloat(s, 64); err == nil {
		if math.IsNaN(sec) || math.Abs(sec) > maxEpoch {
			return time.Time{}, bad
		}
		whole := math.Floor(sec)
		micro := math.Round((sec - whole) * 1e6)
		return time.Unix(int64(whole), int64(micro)*1000).UTC(), nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	if i := strings.LastIndexByte(s, ' '); i >= 0 {
		if off, ok := obsoleteZones[strings.ToUpper(s[i+1:])]; ok {
			s = s[:i+1] + off
		}
	}
	t, err := mail.ParseDate(s)
	if err != nil {
		return time.Time{}, bad
	}
	return t, nil
}

// set gives the member its value from the texts of the parameter, after the
// checks of its tags. The error names the reason without the parameter.
func (f *field) set(v reflect.Value, texts []string) error {
	if f.shape == list {
		return f.setList(v, texts)
	}
	s := texts[0]
	if err := f.checkOne(s); err != nil {
		return err
	}
	if err := f.conv(v, s); err != nil {
		return err
	}
	switch k := v.Kind(); {
	case k == reflect.String:
		return f.checkSize(len(s), "must be %s bytes long")
	case isInt(k):
		return f.checkNumber(float64(v.Int()))
	case isUint(k):
		return f.checkNumber(float64(v.Uint()))
	case k == reflect.Float32 || k == reflect.Float64:
		return f.checkNumber(v.Float())
	}
	return nil
}

func (f *field) setList(v reflect.Value, texts []string) error {
	if err := f.checkSize(len(texts), "must have %s items"); err != nil {
		return err
	}
	out := reflect.MakeSlice(v.Type(), len(texts), len(texts))
	for i, s := range texts {
		if err := f.checkOne(s); err != nil {
			return err
		}
		if err := f.conv(out.Index(i), s); err != nil {
			return err
		}
	}
	v.Set(out)
	return nil
}

func (f *field) checkOne(s string) error {
	if f.enum != nil && !slices.Contains(f.enum, s) {
		return fmt.Errorf("must be one of %s", strings.Join(f.enum, ", "))
	}
	return nil
}

func (f *field) checkNumber(n float64) error {
	if f.min != nil && n < *f.min || f.max != nil && n > *f.max {
		return fmt.Errorf("must be %s", f.bounds())
	}
	return nil
}

func (f *field) checkSize(n int, text string) error {
	if f.checkNumber(float64(n)) != nil {
		return fmt.Errorf(text, f.bounds())
	}
	return nil
}

// bounds words the limits: "between 1 and 1000".
func (f *field) bounds() string {
	num := func(n *float64) string { return strconv.FormatFloat(*n, 'f', -1, 64) }
	switch {
	case f.min != nil && f.max != nil:
		return "between " + num(f.min) + " and " + num(f.max)
	case f.min != nil:
		return "at least " + num(f.min)
	case f.max != nil:
		return "at most " + num(f.max)
	}
	return ""
}

// splitList parts each text at sep and drops empty items.
func splitList(texts []string, sep string) []string {
	out := make([]string, 0, len(texts))
	for _, t := range texts {
		for item := range strings.SplitSeq(t, sep) {
			if item = strings.TrimSpace(item); item != "" {
				out = append(out, item)
			}
		}
	}
	return out
}
