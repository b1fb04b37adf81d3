package config

import (
	"bytes"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// Sample, reference, help, flags and variables must all know the same options.
func TestGeneratedTextsAgree(t *testing.T) {
	var sample, docs bytes.Buffer
	if err := Sample(&sample); err != nil {
		t.Fatal(err)
	}
	if err := Docs(&docs); err != nil {
		t.Fatal(err)
	}
	inSample := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^#([a-z_.]+) = (.*)$`).FindAllStringSubmatch(sample.String(), -1) {
		inSample[m[1]] = m[2]
	}
	rows := strings.Count(docs.String(), "\n") - 2
	opts := options()
	if len(opts) != rows || len(opts) != len(inSample)+1 {
		t.Errorf("%d options, %d rows in the reference, %d keys in the sample", len(opts), rows, len(inSample))
	}
	exported := 0
	for i := range reflect.TypeFor[Config]().NumField() {
		if reflect.TypeFor[Config]().Field(i).IsExported() {
			exported++
		}
	}
	if exported != len(opts)+1 {
		t.Errorf("%d exported fields, %d options and Mode", exported, len(opts))
	}
	for _, o := range opts {
		t.Run(o.name, func(t *testing.T) { checkOption(t, o, inSample[o.name], docs.String()) })
	}
}

func checkOption(t *testing.T, o option, sample, docs string) {
	mode := Serve
	if o.only == "dev" {
		mode = Dev
	}
	if o.doc == "" || !strings.HasSuffix(o.doc, ".") || !o.isBool() && o.arg == "" {
		t.Errorf("doc %q, arg %q", o.doc, o.arg)
	}
	row := "| `" + o.flag()
	if !strings.Contains(docs, row) || !strings.Contains(docs, "`"+o.env()+"`") {
		t.Error("not in the reference")
	}
	if usage := UsageFor(mode); !strings.Contains(usage, "  "+o.flag()+" ") {
		t.Errorf("not in the help for %v", mode)
	}
	if other := UsageFor(1 - mode); o.only != "" && strings.Contains(other, "  "+o.flag()+" ") {
		t.Errorf("in the help for %v", 1-mode)
	}
	if o.noFile {
		return
	}
	// The sample's value, in the file, must be valid and give what the same
	// value gives as flag and as variable.
	pair := ""
	if o.name == "tls_cert" || o.name == "tls_key" {
		pair = "tls_cert = \"c\"\ntls_key = \"k\"\n"
	}
	data := pair + o.name + " = " + sample + "\n"
	if pair != "" {
		data = strings.Replace(pair, o.name+" = \""+o.name[4:5]+"\"", o.name+" = "+sample, 1)
	}
	args := []string{"--config=/f"}
	fromFile, _, _ := parse(t, mode, args, nil, files{"/f": data})
	if fromFile.Origin(o.name) != "file" {
		t.Fatalf("origin %s", fromFile.Origin(o.name))
	}
	values := source{}
	src, err := parseFile(options(), "/f", []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	values[o.name] = src[o.name]
	raw := strings.Join(values[o.name].texts, " ")
	fromFlag, _, _ := parse(t, mode, append(args, o.flag()+"="+raw), nil, files{"/f": pair})
	fromEnv, _, warnings := parse(t, mode, args, []string{o.env() + "=" + raw}, files{"/f": pair})
	if fromFlag.Origin(o.name) != "flag" || fromEnv.Origin(o.name) != "env" || len(warnings) != 0 {
		t.Errorf("origins %s, %s; warnings %q", fromFlag.Origin(o.name), fromEnv.Origin(o.name), warnings)
	}
	at := func(c *Config) any { return reflect.ValueOf(c).Elem().Field(o.field).Interface() }
	if !reflect.DeepEqual(at(fromFile), at(fromFlag)) || !reflect.DeepEqual(at(fromFile), at(fromEnv)) {
		t.Errorf("file %v, flag %v, variable %v", at(fromFile), at(fromFlag), at(fromEnv))
	}
	def, _, _ := parse(t, Serve, nil, nil, nil)
	if _, ok := o.fixed(Serve); ok && !reflect.DeepEqual(at(def), at(fromFile)) {
		t.Errorf("the sample says %v, the default is %v", at(fromFile), at(def))
	}
}

func TestSampleIsAllComments(t *testing.T) {
	var sample bytes.Buffer
	if err := Sample(&sample); err != nil {
		t.Fatal(err)
	}
	c, _, _ := parse(t, Serve, []string{"--config=/f"}, nil, files{"/f": sample.String()})
	for _, s := range c.Settings() {
		if s.Origin != "default" && s.Name != "config" {
			t.Errorf("%s is set by the untouched sample", s.Name)
		}
	}
	all := regexp.MustCompile(`(?m)^#([a-z_.]+ = )`).ReplaceAllString(sample.String(), "$1")
	if _, _, _, err := Parse(Serve, []string{"--config=/f"}, nil, files{"/f": all}.read); err != nil {
		t.Errorf("the sample with every key set: %v", err)
	}
}
