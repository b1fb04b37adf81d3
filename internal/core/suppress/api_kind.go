package suppress

import (
	"fmt"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/errs"
	"postroad/internal/base/op"
)

// addDoc describes what all additions have in common.
const addDoc = "Takes one entry as a form, a query or a JSON object, or up to 1,000 as a JSON array; " +
	"of an array all are added or none. An address that is there already is replaced."

// stampText is the form of times of lists. Mailgun: RFC 1123 with the zone UTC.
func stampText(e *Entry) string {
	return clock.FromMicro(e.CreatedAt).In(time.UTC).Format(time.RFC1123)
}

type addressIn struct {
	DomainName string `path:"domain_name" doc:"Name of the domain"`
	Address    string `path:"address" doc:"Email address, in any case"`
}

func (in *addressIn) entry() (string, string, string) { return in.DomainName, in.Address, "" }

// added answers additions. Mailgun: bounces have the members the other way
// round, and arrays no address.
type added struct {
	Address string `json:"address,omitempty" doc:"The address, unless an array was sent"`
	Message string `json:"message"`
}

type removed struct {
	Address string `json:"address" doc:"The address as it was asked for"`
	Message string `json:"message"`
}

func removedWith(text string) func(string) removed {
	return func(value string) removed { return removed{value, text} }
}

func addedOne(text string) func(*Entry) added {
	return func(e *Entry) added { return added{e.Address, text} }
}

func addedMany(format string) func(int) added {
	return func(n int) added { return added{Message: fmt.Sprintf(format, n)} }
}

type bounceView struct {
	Address   string `json:"address" doc:"Email address as it was given"`
	Code      string `json:"code" doc:"Reply code of the receiving server"`
	Error     string `json:"error" doc:"Reply of the receiving server"`
	CreatedAt string `json:"created_at" doc:"RFC 1123 time in UTC"`
}

func viewBounce(i *Item) bounceView {
	return bounceView{i.Address, i.Code, i.Reason, stampText(&i.Entry)}
}

type bounceRecord struct {
	Address string `form:"address" json:"address" doc:"Email address"`
	Code    text   `form:"code" json:"code,omitempty" doc:"Reply code, a text or a number; 550 if absent"`
	Error   text   `form:"error" json:"error,omitempty" doc:"Reply of the receiving server"`
	stamp
}

func (r bounceRecord) entries() ([]Entry, *errs.Error) {
	return r.one(Entry{Address: r.Address, Code: string(r.Code), Reason: string(r.Error)})
}

type addBounceIn struct {
	DomainName string `path:"domain_name" doc:"Name of the domain"`
	bounceRecord
	Records batch[bounceRecord] `body:"json" doc:"Up to 1,000 bounces"`
}

func (in *addBounceIn) given() (string, *given, error) {
	g, err := gather(in.bounceRecord, in.Records)
	return in.DomainName, g, err
}

type bounceAdded struct {
	Message string `json:"message"`
	Address string `json:"address,omitempty" doc:"The address, unless an array was sent"`
}

func bounceOps(l *list) []op.Op {
	one := func(e *Entry) bounceAdded {
		return bounceAdded{"Address has been added to the bounces table", e.Address}
	}
	many := func(n int) bounceAdded {
		return bounceAdded{Message: fmt.Sprintf("%d addresses have been added to the bounces table", n)}
	}
	return []op.Op{
		op.New("GET", l.path(), op.Suppressions, op.Read, "List bounces", pager(l, viewBounce)),
		op.New("GET", l.path()+"/{address}", op.Suppressions, op.Read, "Get a bounce", getter[addressIn](l, viewBounce)),
		op.New("POST", l.path(), op.Suppressions, op.Write, "Add bounces", adder[addBounceIn](l, one, many)).WithDoc(addDoc),
		op.New("DELETE", l.path()+"/{address}", op.Suppressions, op.Write, "Remove a bounce",
			remover[addressIn](l, removedWith("Bounced address has been removed"))),
		op.New("DELETE", l.path(), op.Suppressions, op.Write, "Remove all bounces",
			clearer(l, "Bounced addresses for this domain have been removed")),
		importOp(l, op.Suppressions, "bounces"),
	}
}

type complaintView struct {
	Address   string `json:"address" doc:"Email address as it was given"`
	CreatedAt string `json:"created_at" doc:"RFC 1123 time in UTC"`
}

func viewComplaint(i *Item) complaintView { return complaintView{i.Address, stampText(&i.Entry)} }

type complaintRecord struct {
	Address string `form:"address" json:"address" doc:"Email address"`
	stamp
}

func (r complaintRecord) entries() ([]Entry, *errs.Error) { return r.one(Entry{Address: r.Address}) }

type addComplaintIn struct {
	DomainName string `path:"domain_name" doc:"Name of the domain"`
	complaintRecord
	Records batch[complaintRecord] `body:"json" doc:"Up to 1,000 complaints"`
}

func (in *addComplaintIn) given() (string, *given, error) {
	g, err := gather(in.complaintRecord, in.Records)
	return in.DomainName, g, err
}

func complaintOps(l *list) []op.Op {
	one := addedOne("Address has been added to the complaints table")
	many := addedMany("%d complaint addresses have been added to the complaints table")
	return []op.Op{
		op.New("GET", l.path(), op.Suppressions, op.Read, "List complaints", pager(l, viewComplaint)),
		op.New("GET", l.path()+"/{address}", op.Suppressions, op.Read, "Get a complaint", getter[addressIn](l, viewComplaint)),
		op.New("POST", l.path(), op.Suppressions, op.Write, "Add complaints", adder[addComplaintIn](l, one, many)).WithDoc(addDoc),
		op.New("DELETE", l.path()+"/{address}", op.Suppressions, op.Write, "Remove a complaint",
			remover[addressIn](l, removedWith("Spam complaint has been removed"))),
		op.New("DELETE", l.path(), op.Suppressions, op.Write, "Remove all complaints",
			clearer(l, "Complaint addresses for this domain have been removed")),
		importOp(l, op.Suppressions, "complaints"),
	}
}
