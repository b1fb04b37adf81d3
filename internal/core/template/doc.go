// Package template keeps the templates of domains and accounts: what stored
// mail looks like before it has data. A template has versions, of which one may
// be active; sending finds a parsed version by name (Find).
//
// Names and tags are lower case. A version that does not parse is refused when it
// is stored, so rendering fails on its bounds only.
package template
