package authres

import (
	"errors"
	"time"

	"postroad/internal/mail/dkim"
)

// ErrOtherChain: the message to be sealed has not the ARC sets that the verdict is
// about.
var ErrOtherChain = errors.New("authres: the message has another ARC chain than the verdict")

// signedByARC returns the fields an ARC-Message-Signature covers: those of a DKIM
// signature and the DKIM signatures themselves (RFC 8617, section 4.1.2).
func signedByARC() []string {
	return append(dkim.DefaultHeaders(), dkim.MessageSignature.FieldName())
}

// Seal returns the ARC set to put before a message that is forwarded (RFC 8617,
// section 5.1): ARC-Seal, ARC-Message-Signature and ARC-Authentication-Results,
// each ending in CRLF. msg is the message as it will leave, in pieces, its ARC
// fields those of the message the verdict is about.
//
// The set is nil, without an error, if there is to be none: the chain was closed
// before; it is full; or the DNS did not answer, so that neither of pass and fail
// would be honest, and the next server may judge. To a chain that fails one last
// set is added, which says so and signs nothing but itself (section 5.1.2).
//
// Errors: ErrOtherChain, and those of dkim.Signer.
func (v *Verdict) Seal(signer *dkim.Signer, msg [][]byte, key dkim.Key, now time.Time) ([]byte, error) {
	if v.ARC.Closed || v.ARC.Temporary || v.ARC.Instance >= maxSets {
		return nil, nil
	}
	m, err := dkim.ReadMessage(msg)
	if err != nil {
		return nil, err
	}
	before := readChain(m)
	if before.top != v.ARC.Instance || before.err != nil && v.ARC.Result != Fail {
		return nil, ErrOtherChain
	}
	instance := before.top + 1
	results := v.resultsField(instance)
	signature, err := signer.Sign(msg, dkim.Options{Keys: []dkim.Key{key}, Headers: signedByARC(), Time: now, Instance: instance})
	if err != nil {
		return nil, err
	}
	var sealed [][]byte
	if v.ARC.Result != Fail {
		sealed = before.fields()
	}
	sealed = append(sealed, []byte(results), signature)
	seal, err := signer.Seal(sealed, dkim.SealOptions{Key: key, Instance: instance, Status: string(v.ARC.Result), Time: now})
	if err != nil {
		return nil, err
	}
	return append(append(seal, signature...), results...), nil
}

// fields returns the fields of all sets in the order in which they are sealed (RFC
// 8617, section 5.1.1).
func (c *chain) fields() [][]byte {
	fields := make([][]byte, 0, 3*len(c.sets)+2)
	for _, s := range c.sets {
		fields = append(fields, s.results.Raw(), s.signature.Field().Raw(), s.seal.Field().Raw())
	}
	return fields
}
