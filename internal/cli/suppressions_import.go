package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path"
	"time"
)

func (o *suppressionOptions) importFlags() *flagSet {
	return o.flags("print only the id of the import", func(f *flagSet) {
		o.listFlag(f)
		f.on(&o.wait, "wait", "wait until the file is worked on")
	})
}

func suppressionsImportCommand() command {
	return command{name: "suppressions import", summary: "put the addresses of a CSV file on a list", args: []string{"--domain DOMAIN --list LIST [options] FILE"},
		notes: "FILE is UTF-8 of up to 25 MB, - is standard input. Its first line names the columns:\n" +
			"address, and code, error, tags, reason, domain or created_at where the list has them.\n" +
			"The server works on it in the background; postroad suppressions imports says how far it is.\n",
		examples: []string{"suppressions import --domain you.test --list bounces --wait bounces.csv"},
		options:  func() *flagSet { return (&suppressionOptions{}).importFlags() }, run: runSuppressionsImport}
}

const importsPath = "/v1/postroad/suppression-imports"

// importItem is an import as the server tells of it.
type importItem struct {
	ID       string    `json:"id"`
	Domain   string    `json:"domain"`
	List     string    `json:"list"`
	File     string    `json:"file"`
	State    string    `json:"state"`
	Size     int64     `json:"size"`
	Done     int64     `json:"done"`
	Imported int64     `json:"imported"`
	Failed   int64     `json:"failed"`
	Created  time.Time `json:"created"`
}

// sum is the state with numbers.
func (i *importItem) sum() string {
	text := fmt.Sprintf("%s: %d imported, %d failed", i.State, i.Imported, i.Failed)
	if i.State == "importing" && i.Size > 0 {
		text += fmt.Sprintf(", %d %%", i.Done*100/i.Size)
	}
	return text
}

func runSuppressionsImport(e *Env, args []string) error {
	o := &suppressionOptions{}
	rest, err := o.parseAll(e, o.importFlags(), args, true)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return usage("give one file")
	}
	c, err := o.open(e)
	if err != nil {
		return err
	}
	b := newFormBody()
	defer b.close()
	if err := addCSV(e, b, rest[0]); err != nil {
		return err
	}
	body, size, ctype := b.finish()
	var out struct{ Message string }
	a, err := c.call(context.Background(), request{method: http.MethodPost, path: o.path() + "/import", body: body, size: size,
		header: map[string]string{"Content-Type": ctype}}, &out)
	if err != nil {
		return err
	}
	id := path.Base(a.location)
	if !o.wait {
		return o.printImportID(e, id)
	}
	return o.follow(e, c, id)
}

func (o *suppressionOptions) printImportID(e *Env, id string) error {
	if o.form(e) == forPrograms {
		return printJSON(e.Stdout, map[string]string{"id": id})
	}
	return o.printList(e, nil, []string{id}, func() error {
		return plainLines(e, []string{"Taken as " + id + ". How far it is: postroad suppressions imports " + id})
	})
}

func addCSV(e *Env, b *formBody, name string) error {
	if name != "-" {
		err := b.file("file", name)
		if errors.Is(err, os.ErrNotExist) {
			return usage("there is no file %q", clean(name))
		}
		if err != nil {
			return unreadable(name, err)
		}
		return nil
	}
	data, err := e.readStdin()
	if err != nil {
		return err
	}
	return b.data("file", "stdin.csv", bytes.NewReader(data), int64(len(data)))
}

// follow waits for the end of an import.
func (o *suppressionOptions) follow(e *Env, c *client, id string) error {
	pause, misses := firstPoll, 0
	for {
		im, a, err := c.importOf(id)
		switch {
		case err == nil && im.State == "finished":
			if err := o.printList(e, a.raw, []string{im.ID}, func() error { return c.printImport(e, im) }); err != nil {
				return err
			}
			return im.verdict()
		case err == nil:
			misses = 0
		case !temporary(err) || misses >= maxMisses:
			f := *asFailure(err)
			f.message = "the file was taken as " + id + ", but what becomes of it cannot be seen: " + f.message
			return &f
		default:
			misses++
		}
		ready, _ := e.clock().After(pause)
		<-ready
		pause = min(pause*3/2, slowest)
	}
}

// verdict is the result of waiting: rows that failed make the command fail.
func (i *importItem) verdict() error {
	if i.Failed == 0 {
		return nil
	}
	f := failed("%s not imported", count(int(i.Failed), "row was", "rows were"))
	f.code = "not_imported"
	return f.try("postroad suppressions imports " + i.ID)
}

func (c *client) importOf(id string) (*importItem, *answer, error) {
	var im importItem
	a, err := c.get(context.Background(), importsPath+"/"+url.PathEscape(id), &im)
	return &im, a, err
}

type importsOptions struct {
	clientFlags
	domain string
}

func importsFlags() (*importsOptions, *flagSet) {
	o, f := &importsOptions{}, newFlags()
	f.text(&o.domain, "domain", "DOMAIN", "only imports of this sending domain")
	o.add(f, "print only the ids, one per line")
	return o, f
}

func suppressionsImportsCommand() command {
	return command{name: "suppressions imports", summary: "list imports of suppressions, or show one with the rows it did not take", args: []string{"[options]", "ID [options]"},
		examples: []string{"suppressions imports --domain you.test", "suppressions imports 1971436800000000000"},
		options:  func() *flagSet { _, f := importsFlags(); return f }, run: runSuppressionsImports}
}

func runSuppressionsImports(e *Env, args []string) error {
	o, f := importsFlags()
	rest, err := o.parse(e, f, args)
	if err != nil {
		return err
	}
	if len(rest) > 1 {
		return usage("unexpected argument %q", clean(rest[1]))
	}
	c, err := o.open(e)
	if err != nil {
		return err
	}
	if len(rest) == 1 {
		im, a, err := c.importOf(rest[0])
		if err != nil {
			return err
		}
		return o.printList(e, a.raw, []string{im.ID}, func() error { return c.printImport(e, im) })
	}
	var list struct {
		Items []importItem `json:"items"`
	}
	a, err := c.get(context.Background(), importsPath+"?"+url.Values{"domain": {o.domain}}.Encode(), &list)
	if err != nil {
		return err
	}
	return o.printList(e, a.raw, names(list.Items, func(i *importItem) string { return i.ID }), func() error { return printImports(e, list.Items) })
}

func printImports(e *Env, items []importItem) error {
	if len(items) == 0 {
		_, err := fmt.Fprintln(e.Stdout, "No imports.")
		return err
	}
	t := newTable("ID", "TIME", "STATE", "DOMAIN", "LIST", "FILE").keep(0, 1)
	for i := range items {
		t.row(items[i].ID, e.when(items[i].Created), items[i].sum(), items[i].Domain, items[i].List, items[i].File)
	}
	return t.print(e.Stdout, e.width())
}

// shownErrors is how many rows people see; JSON of the API has them all.
const shownErrors = 20

// printImport shows an import and the first rows it did not take.
func (c *client) printImport(e *Env, im *importItem) error {
	lines := []string{im.List + " of " + im.Domain + ", " + im.sum()}
	if im.Failed > 0 {
		var doc struct {
			Items []struct {
				Line    int64  `json:"line"`
				Reason  string `json:"reason"`
				Content string `json:"content"`
			} `json:"items"`
		}
		if _, err := c.get(context.Background(), importsPath+"/"+url.PathEscape(im.ID)+"/errors", &doc); err != nil {
			return err
		}
		for _, r := range doc.Items[:min(len(doc.Items), shownErrors)] {
			lines = append(lines, fmt.Sprintf("line %d: %s: %s", r.Line, r.Reason, r.Content))
		}
		if more := im.Failed - int64(min(len(doc.Items), shownErrors)); more > 0 {
			lines = append(lines, fmt.Sprintf("and %d more: GET %s/%s/errors?format=csv", more, importsPath, im.ID))
		}
	}
	return plainLines(e, lines)
}
