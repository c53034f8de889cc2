package meta_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luasips/luasips/luabind"
	"github.com/luasips/luasips/modules/all"
)

// TestExamplesLoad loads every example script as `luasips check` does.
func TestExamplesLoad(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root(t), "examples-lua", "*.lua"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) { load(t, f) })
	}
}

// TestReadmeBlocksLoad loads every Lua block of every README.
func TestReadmeBlocksLoad(t *testing.T) {
	base := root(t)
	files, err := filepath.Glob(filepath.Join(base, "modules", "*", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(files, filepath.Join(base, "README.md")) {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		rel, err := filepath.Rel(base, f)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(rel, func(t *testing.T) {
			blocks := luaBlocks(string(b))
			if len(blocks) == 0 {
				t.Errorf("%s has no Lua block", rel)
			}
			for _, text := range blocks {
				path := filepath.Join(t.TempDir(), "block.lua")
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				load(t, path)
			}
		})
	}
}

func load(t *testing.T, path string) {
	t.Helper()
	p, err := luabind.Load(luabind.Options{Path: path, Modules: all.List(), Workers: 1, CheckOnly: true})
	if err != nil {
		t.Error(err)
		return
	}
	p.Abort()
}

// luaBlocks are the fenced blocks marked lua.
func luaBlocks(md string) []string {
	var out []string
	for {
		_, rest, ok := strings.Cut(md, "```lua\n")
		if !ok {
			return out
		}
		block, after, _ := strings.Cut(rest, "```")
		out = append(out, block)
		md = after
	}
}
