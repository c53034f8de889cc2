// Package meta_test holds the tests about the tree itself: who may import
// whom, that every exported name is documented, that files keep to the rules.
package meta_test

import (
	"go/build"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

const module = "github.com/luasips/luasips"

// allowed lists, for each package or tree ("x/..."), which of our own packages
// it may import. The longest match counts. A name ending in /... allows a tree.
var allowed = map[string][]string{
	"cmd/...":          {"engine", "engine/...", "luabind", "modules", "modules/..."},
	"engine":           {"engine/..."},
	"engine/sip":       {},
	"engine/api":       {"engine/sip"},
	"engine/transport": {"engine/sip", "engine/api"},
	"engine/txn":       {"engine/sip", "engine/api"},
	"engine/resolve":   {"engine/sip", "engine/api"},
	"engine/logs":      {"engine/api"},
	"engine/mi":        {},
	"engine/enginetest": {
		"engine", "engine/...",
	},
	"luabind":            {"engine", "engine/sip", "engine/api", "modules"},
	"modules":            {"engine/sip", "engine/api"},
	"modules/all":        {"modules", "modules/..."},
	"modules/gen":        {"modules", "modules/..."},
	"modules/moduletest": {"modules", "engine/sip", "engine/api"},
	"modules/...":        {"modules", "engine/sip", "engine/api"},
	"migration/...":      {},
	"test/...":           {"engine/...", "engine", "luabind", "modules", "modules/...", "test/..."},
}

// peers are the modules that a module may import beside the rule.
var peers = map[string][]string{
	"modules/gen":       {"engine/api"},
	"modules/options":   {"modules/signaling"},
	"modules/signaling": {"modules/sl", "modules/tm"},
	"modules/sl":        {"modules/signaling"},
	"modules/rr":        {"modules/textops/posix"},
	"modules/tm":        {"modules/textops/posix", "modules/signaling"},
	"modules/tr":        {"modules/textops/posix"},
	"modules/sipmsgops": {"modules/textops/posix", "modules/signaling"},
}

// onlyImporter are packages that a single tree of ours may use.
var onlyImporter = map[string]string{
	"github.com/yuin/gopher-lua": "luabind",
}

func TestImports(t *testing.T) {
	for _, dir := range packageDirs(t) {
		p, err := build.ImportDir(filepath.Join(root(t), dir), 0)
		if err != nil {
			if _, none := err.(*build.NoGoError); none {
				continue
			}
			t.Fatal(err)
		}
		rules := append(rulesFor(dir), peers[dir]...)
		for _, imp := range p.Imports {
			checkImport(t, dir, imp, rules)
		}
	}
}

func checkImport(t *testing.T, dir, imp string, rules []string) {
	t.Helper()
	for lib, only := range onlyImporter {
		if strings.HasPrefix(imp, lib) && dir != only && !strings.HasPrefix(dir, "test/") {
			t.Errorf("%s imports %s: only %s may", dir, imp, only)
		}
	}
	ours, ok := strings.CutPrefix(imp, module+"/")
	if !ok {
		return
	}
	if strings.HasPrefix(ours, "cmd/") || (strings.HasPrefix(ours, "test/") && !strings.HasPrefix(dir, "test/")) {
		t.Errorf("%s imports %s: nothing may import cmd or test", dir, ours)
	}
	if !matches(ours, rules) && !strings.HasPrefix(ours, dir+"/") {
		t.Errorf("%s imports %s: not in the list of allowed imports", dir, ours)
	}
}

func rulesFor(dir string) []string {
	if r, ok := allowed[dir]; ok {
		return append([]string(nil), r...)
	}
	for d := dir; d != "."; d = filepath.Dir(d) {
		if r, ok := allowed[d+"/..."]; ok {
			return append([]string(nil), r...)
		}
		if r, ok := allowed[d]; ok {
			return append([]string(nil), r...)
		}
	}
	return nil
}

func matches(pkg string, rules []string) bool {
	for _, r := range rules {
		if tree, ok := strings.CutSuffix(r, "/..."); ok {
			if strings.HasPrefix(pkg, tree+"/") {
				return true
			}
		} else if pkg == r {
			return true
		}
	}
	return false
}

// root is the project's folder.
func root(t *testing.T) string {
	t.Helper()
	d, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(d, "go.mod")); err != nil {
		t.Fatal(err)
	}
	return d
}

// packageDirs are all folders with Go files, relative to the root.
func packageDirs(t *testing.T) []string {
	t.Helper()
	base, seen := root(t), map[string]bool{}
	err := filepath.WalkDir(base, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != base || d.Name() == "testdata" || d.Name() == "bin") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".go") {
			rel, err := filepath.Rel(base, filepath.Dir(path))
			if err != nil {
				return err
			}
			seen[rel] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for d := range seen {
		out = append(out, d)
	}
	sort.Strings(out)
	return out
}
