//go:build linux

// Package powerfs is a file system in memory that can lose its power: what was
// not made durable with fsync or fdatasync is then gone. It is mounted with
// FUSE, so that any program can be run on it.
//
// What is durable:
//
//   - the bytes and the length of a file as of the last fsync or fdatasync of
//     that file;
//   - the entries of a directory (names made, renamed, removed) as of the last
//     fsync of that directory. Syncing a file does not save its name; journaling
//     file systems are kinder, POSIX is not.
//
// Crash drops the rest, all of it or, with Some, a random part, as a real disk
// does: of the dirty sectors of a file any subset arrived, of the changes of a
// directory a prefix.
//
// After an fsync that was made to fail, the pages it should have saved count as
// clean, as on Linux: they can be read, but no later fsync saves them unless
// they are written again.
//
// Owners, modes and times are not modelled. Reads and writes through a mapping
// work; the kernel's write-back cache is off, so every write(2) is seen at once.
package powerfs
