// Package blob keeps message bodies in append-only segment files.
//
// Many callers append at the same time; one committer goroutine takes whatever
// has gathered, writes it with one write and makes it durable with one
// fdatasync (group commit). There is no artificial delay: while one group is
// being synced the next one gathers.
//
// Invariants:
//
//   - Append returns nil only after the bytes, the file's size and, for a new
//     file, its directory entry are on disk.
//   - A segment is written front to back. Bytes that were acknowledged are never
//     modified; only Delete removes them, a whole sealed segment at a time.
//   - After a failed write or sync the segment is given up: nothing more is
//     written to it and its sync is never tried again, because the state of the
//     unsynced pages is unknown (the kernel may mark them clean). The next record
//     opens a new segment.
//   - On open only the newest segment is examined. A torn tail is cut off and the
//     segment is left behind; older segments are never touched. If intact records
//     follow a bad one, nothing is cut: that is damage, not a torn write.
//   - An offset that was ever acknowledged is never used for another record, and
//     the newest segment cannot be deleted, so that segment numbers are not used
//     twice either.
//   - A directory belongs to one process at a time (lock file). Others may read
//     it beside that one: they call Hold, and nothing is deleted meanwhile.
//
// The store does not know which records are needed: retention asks Segments,
// decides, and calls Delete.
//
// File format, all integers little endian:
//
//	segment header, 32 bytes: magic "PRSEG\x01\r\n", number uint64,
//	    created int64 (Unix microseconds), reserved uint32, CRC-32C of the 28 bytes before
//	record: magic "PRb1", CRC-32C of the payload, length uint64,
//	    CRC-32C of the 16 bytes before + segment number + offset, payload
//
// The header checksum covers the place of the record, so that a payload which
// contains a copy of a record is not mistaken for one.
package blob
