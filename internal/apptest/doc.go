// Package apptest runs the whole program inside a test: its listeners on free
// ports, its stores in the test's directory or a schema of its own, and around
// it a World of name servers and scripted mail servers in place of the
// internet.
//
// Time is the test's: with a fake clock a retry schedule of hours passes with
// Advance. Nothing here sleeps; waiting is for an event that the program has
// recorded or for what a server of the World has seen, and ends with the test's
// failure when it does not come.
package apptest

import "time"

// patience is how long a wait lasts before the test fails.
const patience = time.Minute
