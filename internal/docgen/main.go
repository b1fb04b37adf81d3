// Command docgen writes the generated documents: the reference of operations
// and the reference of settings. CI fails when they are not up to date.
package main

import (
	"bytes"
	"fmt"
	"os"

	"postroad/internal/app"
	"postroad/internal/config"
	"postroad/internal/edge/httpapi"
)

//go:generate go run . ../../docs

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "docgen:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	if err := os.WriteFile(dir+"/reference.md", []byte(httpapi.ReferenceMarkdown(app.Operations())), 0o644); err != nil {
		return err
	}
	var b bytes.Buffer
	if err := config.Docs(&b); err != nil {
		return err
	}
	return os.WriteFile(dir+"/configuration.md", b.Bytes(), 0o644)
}
