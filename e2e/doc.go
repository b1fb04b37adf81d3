// Package e2e holds tests only: a browser uses the control panel of the whole
// program, started in the test's own process, with mail that comes in by the
// API. They need Chromium; without it they are skipped, or fail if
// POSTROAD_TEST_PEERS is set.
package e2e
