//go:build linux

// Command rig tries whether postroad keeps its promises when things go wrong:
// kill -9, loss of power, a full or failing disk, damaged files, hostile and
// silent receivers, storms of retries, too little memory. Each test runs the
// real program as a process of its own, counts what it acknowledged, and
// compares that with what a scripted SMTP sink got.
//
//	go run ./rig                    all tests, short
//	go run ./rig --long             as many rounds as give the figures weight
//	go run ./rig --only R1,R2
//
// The last lines are a table; --out writes it as JSON lines. The exit status is
// 1 if a test failed. Some tests mount file systems, make control groups or
// listen on port 25 of loopback addresses: as another user than root, or where
// the system has no such thing, they are reported as skipped (--require makes
// that a failure). docs/reliability.md says what each test does.
package main
