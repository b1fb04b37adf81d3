package blob

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"
)

const segmentSuffix = ".seg"

// segmentName is fixed in width so that a listing sorts by number.
func segmentName(id uint64) string { return fmt.Sprintf("%020d%s", id, segmentSuffix) }

func parseSegmentName(name string) (id uint64, ok bool) {
	digits, found := strings.CutSuffix(name, segmentSuffix)
	if !found {
		return 0, false
	}
	id, err := strconv.ParseUint(digits, 10, 64)
	return id, err == nil && id > 0 && name == segmentName(id)
}

// scanned is what stands in a segment file.
type scanned struct {
	// end is where the last good record from the front ends.
	end int64
	// records counts those.
	records int
	// damaged means that an intact record header follows end: a record in the
	// middle is bad, which a torn write at the tail does not explain.
	damaged bool
}

// scan verifies a segment from the front. Its cost is one read of the file, or
// two if something is wrong. An error means that the file could not be read.
func scan(f io.ReaderAt, id uint64, size int64) (scanned, error) {
	head := make([]byte, segmentHeader)
	if _, err := f.ReadAt(head[:min(size, segmentHeader)], 0); err != nil && !errors.Is(err, io.EOF) {
		return scanned{}, err
	}
	var out scanned
	if _, err := parseSegmentHeader(head, id); err == nil {
		out.end = segmentHeader
		if err := out.follow(f, id, size); err != nil {
			return scanned{}, err
		}
	}
	if out.end == size {
		return out, nil
	}
	next, err := nextHeader(f, id, out.end+1, size)
	out.damaged = next >= 0
	return out, err
}

// follow advances end over good records.
func (s *scanned) follow(f io.ReaderAt, id uint64, size int64) error {
	in := bufio.NewReaderSize(io.NewSectionReader(f, s.end, size-s.end), 256<<10)
	head := make([]byte, recordHeader)
	chunk := make([]byte, 64<<10)
	for {
		if _, err := io.ReadFull(in, head); err != nil {
			return ignoreEnd(err)
		}
		length, want, ok := parseRecordHeader(head, id, s.end)
		if !ok || length > size-s.end-recordHeader {
			return nil
		}
		got, err := streamSum(in, length, chunk)
		if err != nil || got != want {
			return ignoreEnd(err)
		}
		s.end += recordHeader + length
		s.records++
	}
}

func ignoreEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// streamSum is the checksum of the next length bytes.
func streamSum(in io.Reader, length int64, chunk []byte) (uint32, error) {
	var sum uint32
	for length > 0 {
		n := min(length, int64(len(chunk)))
		if _, err := io.ReadFull(in, chunk[:n]); err != nil {
			return 0, err
		}
		sum = crc32.Update(sum, castagnoli, chunk[:n])
		length -= n
	}
	return sum, nil
}

// nextHeader returns the place of the first record header at or after from that
// belongs where it stands, -1 if there is none. Payloads are not read again, so
// the cost stays linear whatever they contain.
func nextHeader(f io.ReaderAt, id uint64, from, size int64) (int64, error) {
	buf := make([]byte, 256<<10)
	for at := from; size-at >= recordHeader; at += int64(len(buf)) - recordHeader + 1 {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), size-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return -1, err
		}
		if hit := findHeader(buf[:n], id, at, size); hit >= 0 {
			return hit, nil
		}
	}
	return -1, nil
}

func findHeader(buf []byte, id uint64, at, size int64) int64 {
	for i := 0; ; i++ {
		hit := bytes.Index(buf[i:], []byte(recordMagic))
		if hit < 0 {
			return -1
		}
		i += hit
		place := at + int64(i)
		if length, _, ok := parseRecordHeader(buf[i:], id, place); ok && length <= size-place-recordHeader {
			return place
		}
	}
}
