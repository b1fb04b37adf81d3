// Package rewrite finds what tracking changes in a text: the links in an HTML
// page or a plain text, and the places of a page where the pixel and a footer go.
// It only tells offsets, so that whoever edits the text changes nothing else.
//
// HTML is cut into tokens as a browser does it, which golang.org/x/net/html
// confirms in tests; that package is not made for offsets, and five times slower.
// Links in comments are none, and so are those Outlook alone reads (<!--[if mso]>): it
// gives their content to its own parser, and what is written for it there repeats
// what all others see. Between <!--[if !mso]><!--> and <!--<![endif]--> links are
// found, as everybody but Outlook shows that.
package rewrite
