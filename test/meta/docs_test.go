package meta_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestExportedNamesAreDocumented looks at every package outside tests.
func TestExportedNamesAreDocumented(t *testing.T) {
	eachFile(t, func(rel string, fset *token.FileSet, f *ast.File) {
		if strings.HasPrefix(rel, "test/") || f.Name.Name == "main" || strings.HasSuffix(rel, "_test.go") {
			return
		}
		for _, d := range f.Decls {
			for _, name := range undocumented(d) {
				t.Errorf("%s: %s has no doc comment", fset.Position(d.Pos()), name)
			}
		}
	})
}

func undocumented(d ast.Decl) []string {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Doc == nil && d.Name.IsExported() && exportedReceiver(d) {
			return []string{d.Name.Name}
		}
	case *ast.GenDecl:
		return undocumentedSpecs(d)
	}
	return nil
}

func undocumentedSpecs(d *ast.GenDecl) []string {
	var out []string
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
				out = append(out, s.Name.Name)
			}
		case *ast.ValueSpec:
			if s.Names[0].IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
				out = append(out, s.Names[0].Name)
			}
		}
	}
	return out
}

// exportedReceiver tells whether a method belongs to an exported type; methods
// of others are seen through interfaces, which have their own comments.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	x := d.Recv.List[0].Type
	for {
		switch v := x.(type) {
		case *ast.StarExpr:
			x = v.X
		case *ast.IndexExpr:
			x = v.X
		case *ast.Ident:
			return v.IsExported()
		default:
			return true
		}
	}
}

// TestRules finds what the tree must not hold: init functions, skipped tests,
// things left open.
func TestRules(t *testing.T) {
	words := []string{"TO" + "DO", "FIX" + "ME", "X" + "XX"}
	eachFile(t, func(rel string, fset *token.FileSet, f *ast.File) {
		for _, d := range f.Decls {
			if fd, ok := d.(*ast.FuncDecl); ok && fd.Recv == nil && fd.Name.Name == "init" {
				t.Errorf("%s: init() is not allowed", fset.Position(fd.Pos()))
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if c, ok := n.(*ast.CallExpr); ok {
				if s, ok := c.Fun.(*ast.SelectorExpr); ok && strings.HasPrefix(s.Sel.Name, "Skip") && strings.HasSuffix(rel, "_test.go") {
					if id, ok := s.X.(*ast.Ident); ok && (id.Name == "t" || id.Name == "b") {
						t.Errorf("%s: a test must not skip", fset.Position(c.Pos()))
					}
				}
			}
			return true
		})
		for _, g := range f.Comments {
			for _, w := range words {
				if strings.Contains(g.Text(), w) {
					t.Errorf("%s: %s left in a comment", fset.Position(g.Pos()), w)
				}
			}
		}
	})
}

func eachFile(t *testing.T, fn func(rel string, fset *token.FileSet, f *ast.File)) {
	t.Helper()
	for _, dir := range packageDirs(t) {
		files, err := filepath.Glob(filepath.Join(root(t), dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			rel := filepath.ToSlash(filepath.Join(dir, filepath.Base(path)))
			fn(rel, fset, f)
		}
	}
}
