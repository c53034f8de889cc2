package txn_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestConformanceList: every row from 1 to 118 stands once in CONFORMANCE.md, every test
// it names exists, here or in another package, and every test with a row in its
// name is there.
func TestConformanceList(t *testing.T) {
	doc, err := os.ReadFile("CONFORMANCE.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := testNames(t)
	next := 1
	named := regexp.MustCompile(`Test[A-Za-z0-9_]+`)
	for line := range strings.Lines(string(doc)) {
		cells := strings.SplitN(line, "|", 4)
		if len(cells) < 4 {
			continue
		}
		row, err := strconv.Atoi(strings.TrimSpace(cells[1]))
		if err != nil {
			continue
		}
		if row != next {
			t.Errorf("row %d where %d is due", row, next)
		}
		next = row + 1
		for _, name := range named.FindAllString(cells[2], -1) {
			if !tests[name] {
				t.Errorf("row %d names %s, which is not there", row, name)
			}
		}
		if strings.TrimSpace(cells[2]) == "" {
			t.Errorf("row %d says nothing", row)
		}
	}
	if next != 119 {
		t.Errorf("the list ends before row %d", next)
	}
	for name := range tests {
		if strings.HasPrefix(name, "TestRow") && !strings.Contains(string(doc), name) {
			t.Errorf("%s is not in the list", name)
		}
	}
}

func testNames(t *testing.T) map[string]bool {
	decl := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	names := map[string]bool{}
	err := filepath.WalkDir("../..", func(f string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(f, "_test.go") {
			return err
		}
		src, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		for _, m := range decl.FindAllSubmatch(src, -1) {
			names[string(m[1])] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
