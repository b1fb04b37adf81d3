// Package list keeps mailing lists and their members, posts to them, and the
// ways out of them.
//
// A post comes by the API or an authenticated SMTP session (Divert, called by
// message.Submit for every submission) or from outside (Prepare). Either makes one
// stored message whose members message.RunExpansion adds page by page; Members
// says who they are. Members who joined after the post get the next one.
//
// An upload of members is a row that says how far it is; each part of it, the
// events about it and that mark are one transaction.
//
// Tables: list, list_member, list_upload. Callers: the HTTP operations in
// api*.go, message, inbound.
package list
