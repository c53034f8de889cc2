package luabind

import "github.com/yuin/gopher-lua/ast"

func (p *Program) check(s *source, tree []ast.Stmt) {}
func (p *Program) checkUses()                       {}
