// Package disk tells how much room a file system has, and writes small files
// whole or not at all.
package disk

// Space is what is left of a file system, in bytes and inodes. Files and
// FreeFiles are 0 where the file system does not count them.
type Space struct{ Free, Total, FreeFiles, Files int64 }
