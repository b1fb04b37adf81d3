package track

import (
	"encoding/binary"
	"hash/crc32"
	"net/netip"
	"time"

	"postroad/internal/mail/useragent"
)

// hit is one request for a link or pixel.
type hit struct {
	at    time.Time
	flags byte
	ip    netip.Addr // may be invalid
	agent string
	token string
}

// Flags of a hit. The numbers are in spool files.
const (
	flagHead     = 1 << iota // only asked what is there
	flagPrefetch             // fetched before anybody wanted it
)

// A record of the spool is a header of the payload's length and its CRC-32C, and
// the payload: version, flags, time in microseconds, and address, User-Agent and
// token, each of the first two behind its length.
const (
	headerLen  = 8
	fixedLen   = 1 + 1 + 8 + 1 + 2
	version    = 1
	maxPayload = 16 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendTo writes h behind b.
func (h *hit) appendTo(b []byte) []byte {
	start := len(b)
	b = append(b, make([]byte, headerLen)...)
	b = append(b, version, h.flags)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.at.UnixMicro()))
	ip := h.ip.AsSlice()
	b = append(append(b, byte(len(ip))), ip...)
	agent := h.agent[:min(len(h.agent), useragent.MaxLen)]
	b = append(binary.LittleEndian.AppendUint16(b, uint16(len(agent))), agent...)
	b = append(b, h.token...)
	payload := b[start+headerLen:]
	binary.LittleEndian.PutUint32(b[start:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(b[start+4:], crc32.Checksum(payload, castagnoli))
	return b
}

// readHit reads the record b begins with. n is its length, 0 if b does not begin
// with a whole and good one.
func readHit(b []byte) (h hit, n int) {
	if len(b) < headerLen+fixedLen {
		return h, 0
	}
	size := binary.LittleEndian.Uint32(b)
	if size < fixedLen || size > maxPayload || uint64(size) > uint64(len(b)-headerLen) {
		return h, 0
	}
	p := b[headerLen : headerLen+int(size)]
	if crc32.Checksum(p, castagnoli) != binary.LittleEndian.Uint32(b[4:]) || p[0] != version {
		return h, 0
	}
	h.flags, h.at = p[1], time.UnixMicro(int64(binary.LittleEndian.Uint64(p[2:])))
	rest, k := p[11:], int(p[10])
	if k+2 > len(rest) {
		return h, 0
	}
	h.ip, _ = netip.AddrFromSlice(rest[:k])
	rest = rest[k:]
	if k = int(binary.LittleEndian.Uint16(rest)); 2+k > len(rest) {
		return h, 0
	}
	h.agent, h.token = string(rest[2:2+k]), string(rest[2+k:])
	return h, headerLen + int(size)
}
