package list

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strings"
)

// A token lets a member leave a list: the ids of both and a MAC of them under
// the installation's secret. With its 52 characters an address of one is longer
// than those for leaving a domain (report.UnsubscribeAddress), which inbound, where
// mail for both arrives, looks at first. It is written in lower-case letters and digits, as
// it stands in local parts of addresses, which may lose their case.
const (
	macBytes    = 16
	tokenBytes  = 16 + macBytes
	leavePrefix = "unsub+"
	leavePath   = "/unsubscribe/list/"
)

var tokenText = base32.HexEncoding.WithPadding(base32.NoPadding)

func (s *Service) token(listID, memberID int64) string {
	b := make([]byte, 16, 16+sha256.Size)
	binary.BigEndian.PutUint64(b, uint64(listID))
	binary.BigEndian.PutUint64(b[8:], uint64(memberID))
	mac := hmac.New(sha256.New, s.key)
	mac.Write(b)
	return strings.ToLower(tokenText.EncodeToString(mac.Sum(b)[:tokenBytes]))
}

// readToken returns what a token is for; ok is false for one that was not made
// here or was altered.
func (s *Service) readToken(token string) (listID, memberID int64, ok bool) {
	if len(token) != tokenText.EncodedLen(tokenBytes) {
		return 0, 0, false
	}
	b, err := tokenText.DecodeString(strings.ToUpper(token))
	if err != nil || len(b) != tokenBytes {
		return 0, 0, false
	}
	listID, memberID = int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint64(b[8:]))
	ok = hmac.Equal([]byte(s.token(listID, memberID)), []byte(strings.ToLower(token)))
	return listID, memberID, ok
}
