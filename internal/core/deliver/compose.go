package deliver

import (
	"bytes"
	"context"
	"fmt"

	"postroad/internal/core/message"
	"postroad/internal/mail/dkim"
	"postroad/internal/mail/smtp"
)

// compose makes the bytes that go out: the stored body, personalised for a
// batch and what is tracked, with the DKIM signatures before it.
func (e *Engine) compose(j *job) error {
	raw, err := e.Messages.Body(j.msg)
	if err != nil {
		return err
	}
	pieces := smtp.Message{raw}
	if j.msg.Personal() {
		if pieces, err = e.personalise(j.msg, raw, j.list[0].d.Vars, j.list[0].d.Recipient); err != nil {
			return err
		}
	}
	if e.Capture {
		j.body = pieces
		return nil
	}
	sig, err := e.sign(j, pieces)
	if err != nil {
		return err
	}
	if len(sig) > 0 {
		pieces = append(smtp.Message{sig}, pieces...)
	}
	j.body = pieces
	return nil
}

// maxCompiled bounds the bodies whose compiled form is kept, in bytes.
const maxCompiled = 256 << 10

// personalise makes one recipient's copy of a message from its body, compiled once
// for all of them.
func (e *Engine) personalise(m *message.Message, raw []byte, vars, recipient string) (smtp.Message, error) {
	v, err := message.ParseVars(vars, recipient)
	if err != nil {
		return nil, err
	}
	t, ok := e.templates.Get(m.ID)
	if !ok {
		if t, err = e.Messages.Compile(m, raw); err != nil {
			return nil, err
		}
		if several := m.Meta.List != nil || len(m.Meta.Recipients) > 1; several && len(raw) <= maxCompiled {
			e.templates.Put(m.ID, t)
		}
	}
	return e.Messages.Personalise(m, t, raw, v, recipient)
}

// sign returns the signature fields. A message to several recipients is signed
// once, and a retry uses what the first attempt made.
func (e *Engine) sign(j *job, pieces smtp.Message) ([]byte, error) {
	d := j.list[0].d
	if d.Signature != "" {
		return []byte(d.Signature), nil
	}
	if !j.msg.Personal() {
		if sig, ok := e.signed.Get(j.msg.ID); ok {
			return []byte(e.remember(j, sig)), nil
		}
	}
	sig, err := e.signature(j, pieces)
	if err != nil || sig == nil {
		return nil, err
	}
	if !j.msg.Personal() && len(j.msg.Meta.Recipients) > len(j.list) {
		e.signed.Put(j.msg.ID, string(sig))
	}
	return []byte(e.remember(j, string(sig))), nil
}

// signature signs pieces with the domain's key, unless the message says not to.
// What a route sends on is its author's: ours is not to vouch for it.
func (e *Engine) signature(j *job, pieces smtp.Message) ([]byte, error) {
	if j.msg.Meta.Foreign {
		if v, err := message.ParseVars(j.list[0].d.Vars, j.list[0].d.Recipient); err != nil || v.Routed != nil {
			return nil, err
		}
	}
	if on := j.msg.Meta.Options.DKIM; on != nil && !*on {
		return nil, nil
	}
	keys, err := e.Domains.Signers(context.Background(), j.dom.ID)
	if err != nil {
		return nil, fmt.Errorf("dkim keys: %w", err)
	}
	if len(keys) == 0 {
		return nil, nil
	}
	keys = keys[:1] // keys take turns when there are several; see docs on rotation
	sig, err := e.signer.Sign(pieces, dkim.Options{Keys: keys, Headers: signedHeaders, Time: e.clock.Now()})
	if err != nil {
		return nil, fmt.Errorf("dkim: %w", err)
	}
	e.Stats.Signatures.Add(int64(len(keys)))
	return sig, nil
}

// resign makes the pieces of a message whose body was changed for one server.
func (e *Engine) resign(j *job, raw []byte) (smtp.Message, error) {
	raw = stripSignatures(raw, j.list[0].d.Signature)
	sig, err := e.signature(j, smtp.Message{raw})
	if err != nil || sig == nil {
		return smtp.Message{raw}, err
	}
	return smtp.Message{sig, raw}, nil
}

// stripSignatures removes the signature we put before the message.
func stripSignatures(raw []byte, sig string) []byte {
	return bytes.TrimPrefix(raw, []byte(sig))
}

// remember keeps the signature with the deliveries, for their retries.
func (e *Engine) remember(j *job, sig string) string {
	for _, o := range j.list {
		o.d.Signature = sig
	}
	return sig
}

// signedHeaders are the fields a signature covers.
var signedHeaders = dkim.DefaultHeaders()
