package webhook

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/svix"
)

// Outgoing is a call whose payload is the caller's and is sent as it is, signed as
// Svix does it. An answer of 2xx is success.
type Outgoing struct {
	AccountID string
	DomainID  int64
	EventID   int64
	MessageID int64
	Type      string // of the event, as the registration names it
	URL       string
	Payload   string // UTF-8
	Secret    svix.Secret
}

// sealContext ties sealed secrets to what they are for.
const sealContext = "webhook_call.secret"

// Stage writes a call in tx; it is made by the plan of all others.
func (s *Service) Stage(tx *db.Tx, o *Outgoing) error {
	if s.box == nil {
		return errors.New("webhook: nothing to seal secrets with")
	}
	lane := laneOf(o.URL)
	sealed := base64.StdEncoding.EncodeToString(s.box.Seal(o.Secret, sealContext))
	tx.Stage(insertSigned, s.ids.Next(), o.AccountID, o.DomainID, o.Type, o.EventID, o.MessageID, o.URL, lane, storable([]byte(o.Payload)),
		string(Waiting), int64(0), int64(0), tx.Now, int64(0), tx.Now, sealed)
	tx.AfterCommit(func() {
		s.count.staged.Add(1)
		s.wakes.add(lane)
	})
	return nil
}

// postSigned sends a call of Stage. The id is that of the call, so that a receiver
// knows a repeated one.
func (s *Service) postSigned(ctx context.Context, c *claimed) (*result, error) {
	now := s.clock().Now()
	key, err := s.openSecret(c.secret)
	if err != nil {
		s.log.Error("webhook not signed", "call", c.id, "error", err)
		return &result{at: clock.Micro(now), request: "{}", err: "not sent: the secret of the webhook cannot be read"}, nil
	}
	id := "msg_" + strconv.FormatInt(c.id, 36)
	what := sent{Header: append(s.header(c.url), [2]string{svix.HeaderID, id},
		[2]string{svix.HeaderTimestamp, strconv.FormatInt(now.Unix(), 10)},
		[2]string{svix.HeaderSignature, key.Sign(id, now, []byte(c.payload))})}
	kept, err := json.Marshal(what)
	if err != nil {
		return nil, err
	}
	r := s.exchange(ctx, c.url, what.Header, []byte(c.payload))
	r.at, r.request = clock.Micro(now), string(kept)
	return r, nil
}

func (s *Service) openSecret(sealed string) (svix.Secret, error) {
	if s.box == nil {
		return nil, errors.New("nothing to open secrets with")
	}
	b, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil {
		return nil, fmt.Errorf("secret of a webhook call: %w", err)
	}
	return s.box.Open(b, sealContext)
}
