package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
	"github.com/luasips/luasips/modules/all"
)

// sample is a module with something of everything.
func sample() *modules.Module {
	return &modules.Module{
		Name: "sample",
		Functions: []modules.Function{
			{Name: "f", Doc: "Does a|b.", Routes: api.RouteRequest | api.RouteReply, Blocks: true,
				Args: []modules.Arg{
					{Name: "a", Kind: modules.KindString, Doc: "first", Pattern: true},
					{Name: "b", Kind: modules.KindNumber, Doc: "second", Optional: true, Default: "3", Min: 1, Max: 9},
					{Name: "c", Kind: modules.KindString, Doc: "third", Optional: true, Words: []string{"", "x", "y"}, WordList: true},
				},
				Results: []modules.Result{{Code: 2, Name: "added", Doc: "it was added"}},
				Outputs: []modules.OutputDoc{{Name: "o", Kind: modules.KindList, Doc: "a list"}}},
			{Name: "g", OpenSIPS: "old_g", Doc: "Anywhere.", TopLevel: true},
		},
		Params: []modules.Param{
			{Name: "p", Kind: modules.KindNumber, Unit: "seconds", Default: modules.Int(5), Min: 1, Max: 60, Doc: "How long.", Multi: true},
			{Name: "q", Kind: modules.KindString, Default: modules.String("x"), Ignored: "nothing to do"},
		},
		Fields: []modules.Field{
			{Name: "plain", OpenSIPS: "$plain", Kind: modules.KindString, Doc: "A field.",
				Get: func(modules.Config, *api.Ctx) modules.Value { return modules.Nil() }},
			{Name: "keyed", OpenSIPS: "$keyed", Kind: modules.KindAny, Doc: "By name.", Routes: api.RouteBranch,
				GetKey: func(modules.Config, *api.Ctx, modules.Value) modules.Value { return modules.Nil() },
				SetKey: func(modules.Config, *api.Ctx, modules.Value, modules.Value) error { return nil }},
		},
		Vars:    []modules.Var{{Name: "V", OpenSIPS: "$V", Kind: modules.KindNumber, Doc: "A variable."}},
		Events:  []modules.Event{{Name: "E_X", Doc: "Something happened.", Params: []string{"a", "b"}}},
		Omitted: []modules.Omission{{Kind: "function", Name: "h", Reason: "No use."}},
	}
}

func TestTables(t *testing.T) {
	got := moduleTables(sample())
	for _, want := range []string{
		"| `sample.f(a, [b], [c])` | request, onreply | Does a\\|b. May wait.<br>`a` (string, POSIX extended): first<br>" +
			"`b` (number, default `3`, 1 to 9): second<br>`c` (string, any of `x` `y`): third<br>Gives `o` (list): a list<br>Answers `2 added` it was added |\n",
		"| `sample.g()` | any, top level | Anywhere. OpenSIPS: `old_g`. |\n",
		"| `p` | number, seconds, 1 to 60, or a list | `5` | How long. |\n",
		"| `q` | string |  | Taken without effect: nothing to do. |\n",
		"| `msg.plain` | `$plain` | string | any with a message | A field. |\n",
		"| `msg.keyed[...]` | `$keyed` | any, writable | branch | By name. |\n",
		"| `sample.V` | `$V` | number | A variable. |\n",
		"| `event_route.E_X` | a, b | Something happened. |\n",
		"| function | `h` | No use. |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no\n%s in\n%s", want, got)
		}
	}
	if got := moduleTables(&modules.Module{Name: "empty"}); got != "" {
		t.Errorf("an empty module has %q", got)
	}
}

func TestInsert(t *testing.T) {
	page := "# x\n\n" + beginMark + "old\n" + endMark + "tail\n"
	got, err := insert([]byte(page), "new\n")
	if err != nil || string(got) != "# x\n\n"+beginMark+"new\n"+endMark+"tail\n" {
		t.Errorf("%q, %v", got, err)
	}
	for _, page := range []string{"", "# x\n", beginMark, endMark + beginMark} {
		if _, err := insert([]byte(page), "new\n"); err == nil {
			t.Errorf("%q was taken", page)
		}
	}
}

// folder makes a project's folder with a page for each module.
func folder(t *testing.T, list []*modules.Module) string {
	t.Helper()
	dir := t.TempDir()
	for _, m := range list {
		p := filepath.Join(dir, "modules", m.Name)
		if err := os.MkdirAll(p, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(p, "README.md"), []byte("# "+m.Name+"\n\n"+beginMark+endMark), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestGenerate(t *testing.T) {
	list := all.List()
	dir := folder(t, list)
	stale, err := generate(dir, list, true)
	if err != nil || len(stale) != len(list)+1 {
		t.Fatalf("-check finds %q, %v", stale, err)
	}
	if again, _ := generate(dir, list, true); len(again) != len(stale) {
		t.Fatal("-check wrote something")
	}
	if _, err := generate(dir, list, false); err != nil {
		t.Fatal(err)
	}
	if stale, err := generate(dir, list, true); err != nil || len(stale) != 0 {
		t.Errorf("stale after writing: %q, %v", stale, err)
	}
	fields, err := os.ReadFile(filepath.Join(dir, "modules", "FIELDS.md"))
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.FieldsSeq(coreVariables) {
		if !strings.Contains(string(fields), "| `$"+name+"` | ") {
			t.Errorf("FIELDS.md lacks $%s", name)
		}
	}
}

func TestGenerateErrors(t *testing.T) {
	list := []*modules.Module{sample()}
	if _, err := generate(t.TempDir(), list, true); err == nil || !strings.Contains(err.Error(), "modules/sample/README.md") {
		t.Errorf("a missing page: %v", err)
	}
	if _, err := fieldsPage(list); err == nil || !strings.Contains(err.Error(), "$ru ") {
		t.Errorf("variables without field or reason: %v", err)
	}
}

// TestUpToDate is what `go run ./modules/gen -check` tells.
func TestUpToDate(t *testing.T) {
	stale, err := generate("../..", all.List(), true)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stale {
		t.Errorf("%s is stale; run: go run ./modules/gen", path)
	}
}
