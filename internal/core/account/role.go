package account

import "postroad/internal/base/op"

// The roles of keys. Mailgun: the documents call basic "analyst".
const (
	Admin     = "admin"
	Basic     = "basic"
	Developer = "developer"
	Support   = "support"
	Sending   = "sending"
)

// right is what a role has in a group.
type right uint8

const (
	none right = iota
	read
	write // and read
)

// rights returns what the role has in the group. Mailgun: the table "RBAC API
// Key Permissions by Role", where analysts read the allowlist but neither
// bounces nor complaints nor unsubscribes. The queue is not Mailgun's.
func rights(role string, g op.Group) right {
	switch role {
	case Admin:
		return write
	case Developer:
		switch g {
		case op.Queue:
			return none
		case op.Keys, op.Credentials:
			return read
		}
		return write
	case Support:
		switch g {
		case op.Keys, op.Credentials, op.Queue:
			return none
		case op.Suppressions, op.Allowlist, op.Lists, op.Templates:
			return write
		}
		return read
	case Basic:
		switch g {
		case op.Keys, op.Credentials, op.Suppressions, op.Queue:
			return none
		}
		return read
	}
	return none
}

// Allowed reports whether a key with the role may call operations of the group
// with the access. An unknown role may call public operations only.
func Allowed(role string, g op.Group, a op.Access) bool {
	switch a {
	case op.Public:
		return true
	case op.Read:
		return rights(role, g) >= read
	case op.Write:
		return rights(role, g) == write
	case op.Send:
		return role == Sending && g == op.Messages || rights(role, g) == write
	}
	return false
}
