package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/BurntSushi/toml"
)

// parseFile reads the keys of a TOML file. Its errors name keys and lines, not
// values, since values may be secret.
func parseFile(opts []option, name string, data []byte) (source, error) {
	var tree map[string]any
	if _, err := toml.Decode(string(data), &tree); err != nil {
		var syntax toml.ParseError
		if errors.As(err, &syntax) {
			return nil, fmt.Errorf("%s: line %d: not valid TOML (is a text without quotation marks?)", name, syntax.Position.Line)
		}
		return nil, fmt.Errorf("%s: not valid TOML", name)
	}
	flat := map[string]any{}
	flatten(flat, "", tree)
	out := source{}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(flat)) {
		o, ok := find(opts, func(o option) bool { return !o.noFile && o.name == key })
		if !ok {
			errs = append(errs, fmt.Errorf("%s: unknown key %q%s", name, key, suggestion(key, fileKeys(opts))))
			continue
		}
		texts, err := fileTexts(o, flat[key])
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %w", name, key, err))
			continue
		}
		out[o.name] = given{texts, "file", name + ": " + key}
	}
	return out, errors.Join(errs...)
}

// flatten turns tables into dotted keys.
func flatten(out map[string]any, prefix string, tree map[string]any) {
	for key, value := range tree {
		if table, ok := value.(map[string]any); ok && len(table) > 0 {
			flatten(out, prefix+key+".", table)
			continue
		}
		out[prefix+key] = value
	}
}

// fileTexts gives a TOML value the form in which a flag is written. Only the
// types that make sense for the option are taken.
func fileTexts(o option, value any) ([]string, error) {
	switch v := value.(type) {
	case string:
		return []string{v}, nil
	case bool:
		if o.isBool() {
			return []string{strconv.FormatBool(v)}, nil
		}
	case int64:
		if o.takesNumber() {
			return []string{strconv.FormatInt(v, 10)}, nil
		}
	case []any:
		return o.listTexts(v)
	}
	return nil, fmt.Errorf("wrong type: %s is expected", o.tomlType())
}

func (o option) listTexts(list []any) ([]string, error) {
	texts := make([]string, 0, len(list))
	for _, item := range list {
		text, ok := item.(string)
		if !ok {
			return nil, fmt.Errorf("wrong type: %s is expected", o.tomlType())
		}
		texts = append(texts, text)
	}
	switch {
	case o.isList():
		return texts, nil
	case o.isSchedule():
		return []string{joinComma(texts)}, nil
	}
	return nil, fmt.Errorf("wrong type: %s is expected", o.tomlType())
}
