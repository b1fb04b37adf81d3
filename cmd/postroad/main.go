// Command postroad is a mail platform in one program: it captures mail on a
// developer's machine (postroad dev), delivers it in production (postroad
// serve), and is the client of both.
package main

import (
	"os"

	"postroad/internal/cli"
)

// version is set by the build.
var version = "dev"

func main() {
	os.Exit(cli.Main(cli.Env{Args: os.Args[1:], Environ: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Version: version}))
}
