// Package handlebars renders templates in the Handlebars language as Mailgun
// offers it: paths, literals, the block helpers if, unless, each, with and equal,
// lookup, sections, block parameters, comments and whitespace control. There are
// no partials, no log and no helpers of one's own, so a template reads nothing but
// its data.
//
// A parsed template is a tree that never changes and that any number of
// goroutines may render at the same time. Parsing is linear in the text and
// recurses nowhere; rendering is bounded in steps and output, so no template and
// no data can make it hang or grow.
package handlebars
