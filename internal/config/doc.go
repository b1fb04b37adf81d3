// Package config reads the settings a process starts with.
//
// There is one struct, Config. Every field is an option that can be given as a
// flag, an environment variable or a key of a TOML file, under one name:
// assume_verified is --assume-verified, POSTROAD_ASSUME_VERIFIED and
// assume_verified. A flag wins over the environment, the environment over the
// file, the file over the default; where a value came from is kept. The
// sample file, the reference and the help text are generated from the struct.
//
// Invariants: a name that is not known never passes in silence (an error for
// flags and file keys, a warning for variables); no error, listing or generated
// text contains a secret; the file is only read, never written.
package config
