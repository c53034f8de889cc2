// Command gen writes what follows from the module declarations: the tables in
// each module's README.md between its two marks, and modules/FIELDS.md. With
// -check it writes nothing and exits 1 when something would change.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/luasips/luasips/modules"
	"github.com/luasips/luasips/modules/all"
)

func main() {
	check := flag.Bool("check", false, "write nothing; exit 1 when a file would change")
	root := flag.String("C", ".", "the project's folder")
	flag.Parse()
	stale, err := generate(*root, all.List(), *check)
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(2)
	}
	for _, path := range stale {
		if *check {
			fmt.Fprintf(os.Stderr, "gen: %s is stale; run: go run ./modules/gen\n", path)
		} else {
			fmt.Println("wrote", path)
		}
	}
	if *check && len(stale) > 0 {
		os.Exit(1)
	}
}

// generate brings the files below root up to date, or only looks when check is
// set. It returns those that differ, and what keeps it from others.
func generate(root string, list []*modules.Module, check bool) (stale []string, err error) {
	var errs []error
	update := func(path string, make func(old []byte) ([]byte, error)) {
		full := filepath.Join(root, filepath.FromSlash(path))
		old, err := os.ReadFile(full)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
			return
		}
		text, err := make(old)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
			return
		}
		if bytes.Equal(old, text) {
			return
		}
		stale = append(stale, path)
		if !check {
			errs = append(errs, os.WriteFile(full, text, 0o644))
		}
	}
	for _, m := range list {
		update("modules/"+m.Name+"/README.md", func(old []byte) ([]byte, error) {
			return insert(old, moduleTables(m))
		})
	}
	update("modules/FIELDS.md", func([]byte) ([]byte, error) { return fieldsPage(list) })
	return stale, errors.Join(errs...)
}

// The marks that enclose what is generated.
const (
	beginMark = "<!-- generated:begin -->\n"
	endMark   = "<!-- generated:end -->\n"
)

// insert puts text between the marks of a page.
func insert(page []byte, text string) ([]byte, error) {
	before, rest, ok := bytes.Cut(page, []byte(beginMark))
	_, after, ok2 := bytes.Cut(rest, []byte(endMark))
	if !ok || !ok2 {
		return nil, fmt.Errorf("the page needs the lines %q and %q", beginMark[:len(beginMark)-1], endMark[:len(endMark)-1])
	}
	return bytes.Join([][]byte{before, []byte(beginMark + text + endMark), after}, nil), nil
}
