// Package report reads and writes what mail systems say about mail.
//
//   - ReadBounce reads delivery status notifications (RFC 3464, RFC 6533) and
//     the bounces of servers that write them in words only.
//   - ReadComplaint reads feedback reports (RFC 5965) and the older forms of
//     feedback loops.
//   - OriginOf tells mail that people wrote from automatic mail (RFC 3834), so
//     that nothing automatic is answered.
//   - ReturnPath and ReadReturnPath make and read envelope senders that name
//     the message and cannot be forged.
//   - Notification writes delivery status notifications (RFC 3461, RFC 3464).
//
// All of it is pure and all input is hostile: a message is bounded in parts,
// depth, lines and recipients, and is read in time linear in its size. What a
// report says is a claim of whoever sent it. Only a signed return path proves
// that it is about a message of ours, and then only about the recipient that
// the return path names.
package report
