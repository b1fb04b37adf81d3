package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/netx"
	"postroad/internal/core/provider"
	"postroad/internal/mail/addr"
)

// Participant is somebody an application knows by a number.
type Participant struct {
	ID        int64              `json:"id"`
	Email     string             `json:"email"`
	Variables provider.Variables `json:"variables"`
	Metadata  object             `json:"metadata"`
}

// resolveAtOnce is how many ids are looked up together.
const resolveAtOnce = 1000

func errNobody() *errs.Error {
	return errs.New(errs.Invalid, "None of the recipients can be sent to")
}

// audience returns the recipients of a request in the order named, those named by
// ids at the end, each address once, and who of them gets nothing.
func (s *Service) audience(ctx context.Context, l *letter, list []recipient, ids []int64) (out []recipient, failed []Failed, err error) {
	if len(list)+len(ids) > maxRecipients {
		return nil, nil, invalid("too many recipients, max is %d", maxRecipients)
	}
	if len(ids) > 0 {
		owner, err := s.owner(ctx, l)
		if err != nil {
			return nil, nil, err
		}
		more, unknown, err := s.resolve(ctx, owner, ids)
		if err != nil {
			return nil, nil, &refusal{public: errs.Wrap(errs.Internal, err, "Failed to look up participants"), details: reason(err)}
		}
		list, failed = append(list, more...), unknown
	}
	out, twice := once(list)
	return out, append(failed, twice...), nil
}

// once keeps the first recipient of each address.
func once(list []recipient) (out []recipient, twice []Failed) {
	seen := make(map[string]bool, len(list))
	out = make([]recipient, 0, len(list))
	for i := range list {
		r := &list[i]
		if key := mailbox(r.Email); !seen[key] {
			seen[key] = true
			out = append(out, *r)
			continue
		}
		twice = append(twice, r.failed("the address is there more than once"))
	}
	return out, twice
}

// resolve finds participants in the order of ids.
func (s *Service) resolve(ctx context.Context, owner string, ids []int64) (out []recipient, failed []Failed, err error) {
	for part := range slices.Chunk(ids, resolveAtOnce) {
		known, err := s.find(ctx, owner, part)
		if err != nil {
			return nil, nil, err
		}
		for _, id := range part {
			p, ok := known[id]
			a, err := addr.Parse(p.Email)
			switch {
			case !ok:
				failed = append(failed, Failed{ParticipantID: &id, Error: "there is no such participant"})
			case err != nil:
				failed = append(failed, Failed{Email: p.Email, ParticipantID: &id, Error: "the address of the participant is invalid"})
			default:
				out = append(out, recipient{Email: a.String(), Variables: p.Variables, Metadata: p.Metadata, ID: &id})
			}
		}
	}
	return out, failed, nil
}

// find returns those of the participants there are.
func (s *Service) find(ctx context.Context, owner string, ids []int64) (out map[int64]Participant, err error) {
	if s.Participants != "" {
		return s.ask(ctx, ids)
	}
	err = s.DB.Read(ctx, func(tx *db.Tx) error {
		out, err = selectParticipants(tx, owner, ids)
		return err
	})
	return out, err
}

// ask asks the operator's resolver.
func (s *Service) ask(ctx context.Context, ids []int64) (map[int64]Participant, error) {
	body, err := json.Marshal(map[string][]int64{"ids": ids})
	if err != nil {
		return nil, err
	}
	resp, err := s.Resolver(ctx, netx.Request{Method: "POST", URL: s.Participants, Header: map[string][]string{"Content-Type": {"application/json"}}, Body: body})
	switch {
	case err != nil:
		return nil, errs.Wrap(errs.Internal, err, "the participant source did not answer")
	case resp.Status != 200:
		return nil, errs.New(errs.Internal, "the participant source answered %d", resp.Status)
	case resp.Truncated:
		return nil, errs.Wrap(errs.Internal, resp.BodyErr, "the participant source did not answer in full")
	}
	return readResolved(resp.Body)
}

// readResolved reads a resolver's answer.
func readResolved(body []byte) (map[int64]Participant, error) {
	var doc struct {
		Participants participants `json:"participants"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, errs.Wrap(errs.Internal, err, "the participant source did not answer with participants")
	}
	out := make(map[int64]Participant, len(doc.Participants))
	for _, p := range doc.Participants {
		out[p.ID] = p
	}
	return out, nil
}

type participants []Participant

// UnmarshalJSON takes an array of up to 1,000 objects.
func (p *participants) UnmarshalJSON(b []byte) (err error) {
	*p, err = readList[Participant](b, maxPut, "participants")
	return err
}

// put adds or changes participants.
func (s *Service) put(ctx context.Context, owner string, list []Participant) error {
	return s.DB.Write(ctx, func(tx *db.Tx) error { return upsertParticipants(tx, owner, list) })
}

var errNoID = errors.New("id must be a whole number above 0")

// check refuses a participant without a number or an address, and makes the address
// one without a name.
func (p *Participant) check() error {
	if p.ID <= 0 {
		return errNoID
	}
	a, err := addr.Parse(p.Email)
	if err != nil {
		return err
	}
	p.Email = a.Mailbox()
	return nil
}
