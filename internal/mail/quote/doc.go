// Package quote finds what a person wrote in a mail: it takes the quoted
// message and the signature off plain text (Text) and off HTML (HTML, HTMLText), and
// makes readable text of HTML (PlainText).
//
// Text and HTML share one view of a message, a list of lines. Each line gets a
// mark (scan.go): quoted, introducing a quotation, a signature, or the writer's
// own. What programs write around quotations in which language is data
// (phrases.txt). Then it is decided which lines go (resolve.go):
//
//   - Answers between quoted lines stay, and the quotations around them too,
//     for they would mean nothing alone; so does what was passed on ("Forwarded
//     message"): that is content.
//   - When in doubt a line stays. A message in which nothing but a quotation
//     is found gives the empty string where the quotation is beyond doubt, and
//     is left as it is where it is not.
//
// The package is pure. Its input is hostile: time is linear in it, memory is
// bounded, and nothing is searched for again and again.
package quote
