package blob

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"time"
)

const (
	segmentMagic  = "PRSEG\x01\r\n"
	segmentHeader = 32

	recordMagic  = "PRb1"
	recordHeader = 20
)

// castagnoli is the table of CRC-32C (RFC 3720 appendix B.4), which both common
// processor families compute in hardware. It is never modified.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(pieces ...[]byte) (sum uint32, length int64) {
	for _, p := range pieces {
		sum = crc32.Update(sum, castagnoli, p)
		length += int64(len(p))
	}
	return sum, length
}

// placeSum is the checksum of a record header standing at one place.
func placeSum(head []byte, segment uint64, offset int64) uint32 {
	var place [16]byte
	binary.LittleEndian.PutUint64(place[:], segment)
	binary.LittleEndian.PutUint64(place[8:], uint64(offset))
	return crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, place[:])
}

func appendRecordHeader(dst []byte, ref Ref, payloadSum uint32) []byte {
	start := len(dst)
	dst = append(dst, recordMagic...)
	dst = binary.LittleEndian.AppendUint32(dst, payloadSum)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(ref.Length))
	return binary.LittleEndian.AppendUint32(dst, placeSum(dst[start:], ref.Segment, ref.Offset))
}

// parseRecordHeader reads the header at a place. The length it returns is
// covered by the checksum, but a caller still compares it with the file's size.
func parseRecordHeader(head []byte, segment uint64, offset int64) (length int64, payloadSum uint32, ok bool) {
	if len(head) < recordHeader || string(head[:4]) != recordMagic {
		return 0, 0, false
	}
	if binary.LittleEndian.Uint32(head[16:]) != placeSum(head[:16], segment, offset) {
		return 0, 0, false
	}
	n := binary.LittleEndian.Uint64(head[8:])
	if n > math.MaxInt64-recordHeader {
		return 0, 0, false
	}
	return int64(n), binary.LittleEndian.Uint32(head[4:]), true
}

func newSegmentHeader(id uint64, created time.Time) []byte {
	head := make([]byte, 0, segmentHeader)
	head = append(head, segmentMagic...)
	head = binary.LittleEndian.AppendUint64(head, id)
	head = binary.LittleEndian.AppendUint64(head, uint64(created.UnixMicro()))
	head = binary.LittleEndian.AppendUint32(head, 0)
	return binary.LittleEndian.AppendUint32(head, crc32.Checksum(head, castagnoli))
}

func parseSegmentHeader(head []byte, id uint64) (created time.Time, err error) {
	switch {
	case len(head) < segmentHeader || !bytes.HasPrefix(head, []byte(segmentMagic)):
		return time.Time{}, fmt.Errorf("%w: segment %d has no header", ErrCorrupt, id)
	case binary.LittleEndian.Uint32(head[28:]) != crc32.Checksum(head[:28], castagnoli):
		return time.Time{}, fmt.Errorf("%w: header of segment %d", ErrCorrupt, id)
	case binary.LittleEndian.Uint64(head[8:]) != id:
		return time.Time{}, fmt.Errorf("%w: file of segment %d holds another one", ErrCorrupt, id)
	}
	return time.UnixMicro(int64(binary.LittleEndian.Uint64(head[16:]))).UTC(), nil
}
