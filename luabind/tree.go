package luabind

import (
	"strings"

	"github.com/yuin/gopher-lua/ast"
)

// rewriter walks a parsed tree and replaces expressions by what f makes of
// them, inner ones first.
type rewriter struct {
	f func(ast.Expr) ast.Expr
	s func(ast.Stmt) // called for each statement before its expressions; may be nil
}

func (w rewriter) block(stmts []ast.Stmt) {
	for _, s := range stmts {
		w.stmt(s)
	}
}

func (w rewriter) stmt(s ast.Stmt) {
	if w.s != nil {
		w.s(s)
	}
	switch s := s.(type) {
	case *ast.AssignStmt:
		w.list(s.Lhs)
		w.list(s.Rhs)
	case *ast.LocalAssignStmt:
		w.list(s.Exprs)
	case *ast.FuncCallStmt:
		s.Expr = w.expr(s.Expr)
	case *ast.DoBlockStmt:
		w.block(s.Stmts)
	case *ast.WhileStmt:
		s.Condition = w.expr(s.Condition)
		w.block(s.Stmts)
	case *ast.RepeatStmt:
		s.Condition = w.expr(s.Condition)
		w.block(s.Stmts)
	case *ast.IfStmt:
		s.Condition = w.expr(s.Condition)
		w.block(s.Then)
		w.block(s.Else)
	case *ast.NumberForStmt:
		s.Init, s.Limit, s.Step = w.expr(s.Init), w.expr(s.Limit), w.expr(s.Step)
		w.block(s.Stmts)
	case *ast.GenericForStmt:
		w.list(s.Exprs)
		w.block(s.Stmts)
	case *ast.FuncDefStmt:
		w.block(s.Func.Stmts)
	case *ast.ReturnStmt:
		w.list(s.Exprs)
	}
}

func (w rewriter) list(exprs []ast.Expr) {
	for i := range exprs {
		exprs[i] = w.expr(exprs[i])
	}
}

func (w rewriter) expr(e ast.Expr) ast.Expr {
	switch e := e.(type) {
	case nil:
		return nil
	case *ast.AttrGetExpr:
		e.Object, e.Key = w.expr(e.Object), w.expr(e.Key)
	case *ast.TableExpr:
		for _, f := range e.Fields {
			f.Key, f.Value = w.expr(f.Key), w.expr(f.Value)
		}
	case *ast.FuncCallExpr:
		e.Func, e.Receiver = w.expr(e.Func), w.expr(e.Receiver)
		w.list(e.Args)
	case *ast.LogicalOpExpr:
		e.Lhs, e.Rhs = w.expr(e.Lhs), w.expr(e.Rhs)
	case *ast.RelationalOpExpr:
		e.Lhs, e.Rhs = w.expr(e.Lhs), w.expr(e.Rhs)
	case *ast.StringConcatOpExpr:
		return w.f(w.concat(e))
	case *ast.ArithmeticOpExpr:
		e.Lhs, e.Rhs = w.expr(e.Lhs), w.expr(e.Rhs)
	case *ast.UnaryMinusOpExpr:
		e.Expr = w.expr(e.Expr)
	case *ast.UnaryNotOpExpr:
		e.Expr = w.expr(e.Expr)
	case *ast.UnaryLenOpExpr:
		e.Expr = w.expr(e.Expr)
	case *ast.FunctionExpr:
		w.block(e.Stmts)
	}
	return w.f(e)
}

// concat walks the operands of a chain without handing its inner links to f.
func (w rewriter) concat(e *ast.StringConcatOpExpr) ast.Expr {
	e.Lhs = w.expr(e.Lhs)
	if r, ok := e.Rhs.(*ast.StringConcatOpExpr); ok {
		w.concat(r)
	} else {
		e.Rhs = w.expr(e.Rhs)
	}
	return e
}

// concatName is the global that woven concatenations call. No script can write
// the name.
const concatName = "\x00concat"

// maxWoven is how many operands one woven call takes: each is a register.
const maxWoven = 100

// weave replaces every .. that is not all constants by a call of the counted
// helper, one call for a chain.
func weave(stmts []ast.Stmt) {
	rewriter{f: func(e ast.Expr) ast.Expr {
		c, ok := e.(*ast.StringConcatOpExpr)
		if !ok {
			return e
		}
		return weaveConcat(c)
	}}.block(stmts)
}

// concatParts are the operands of a chain of ..
func concatParts(c *ast.StringConcatOpExpr) (parts []ast.Expr) {
	for e := ast.Expr(c); ; {
		x, ok := e.(*ast.StringConcatOpExpr)
		if !ok {
			return append(parts, e)
		}
		parts = append(parts, x.Lhs)
		e = x.Rhs
	}
}

func weaveConcat(c *ast.StringConcatOpExpr) ast.Expr {
	parts := concatParts(c)
	constant := true
	for i, p := range parts {
		switch x := p.(type) {
		case *ast.StringExpr, *ast.NumberExpr:
		case *ast.FuncCallExpr:
			constant = false
			x.AdjustRet = x.AdjustRet || i == len(parts)-1
		case *ast.Comma3Expr:
			constant = false
			x.AdjustRet = true
		default:
			constant = false
		}
	}
	if constant {
		return c
	}
	line, last := c.Line(), parts[len(parts)-1].Line()
	for len(parts) > maxWoven {
		n := len(parts) - maxWoven
		parts = append(parts[:n:n], concatCall(parts[n:], line, last))
	}
	return concatCall(parts, line, last)
}

func concatCall(parts []ast.Expr, line, last int) ast.Expr {
	fn := &ast.IdentExpr{Value: concatName}
	fn.SetLine(line)
	fn.SetLastLine(line)
	call := &ast.FuncCallExpr{Func: fn, Args: parts, AdjustRet: true}
	call.SetLine(line)
	call.SetLastLine(max(last, line))
	return call
}

// exprName is how people call an expression: "field 't_rely'", "local 'x'".
func exprName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.IdentExpr:
		return "'" + e.Value + "'"
	case *ast.AttrGetExpr:
		if k, ok := e.Key.(*ast.StringExpr); ok {
			return "field '" + k.Value + "'"
		}
		return "an indexed value"
	case *ast.FuncCallExpr:
		if e.Method != "" {
			return "the result of method '" + e.Method + "'"
		}
		return "the result of " + exprPath(e.Func) + "()"
	}
	return ""
}

// exprPath is a dotted path as written, "" when e is not one.
func exprPath(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.IdentExpr:
		return e.Value
	case *ast.AttrGetExpr:
		k, ok := e.Key.(*ast.StringExpr)
		if o := exprPath(e.Object); ok && o != "" {
			return o + "." + k.Value
		}
	}
	return ""
}

// lineNames are what a line calls and indexes, to name what was nil there.
type lineNames struct {
	calls   []string          // names of called expressions
	hints   []string          // and the word to point at
	indexed map[string]string // by key: the object's name
	values  map[string][]operand
}

// operand is what an operator of a line is applied to, unless it is constant.
type operand struct{ name, hint string }

// What operands are looked up by.
const (
	opArithmetic = "perform arithmetic on"
	opConcat     = "concatenate"
	opCompare    = "compare"
	opLength     = "get the length of"
)

func (n *lineNames) operands(op string, exprs ...ast.Expr) {
	for _, e := range exprs {
		name := exprName(e)
		if name == "" {
			continue
		}
		p := exprPath(e)
		if c, ok := e.(*ast.FuncCallExpr); ok {
			p = exprPath(c.Func) + c.Method
		}
		n.values[op] = append(n.values[op], operand{name, p[strings.LastIndexByte(p, '.')+1:]})
	}
}

// named adds to an error what its operator was applied to, and gives the word
// to point at.
func (n *lineNames) named(text, op string) (string, string) {
	switch v := n.values[op]; len(v) {
	case 0:
		return text, ""
	case 1:
		return text + " (" + v[0].name + ")", v[0].hint
	default:
		names := make([]string, len(v))
		for i := range v {
			names[i] = v[i].name
		}
		return text + " (one of " + strings.Join(names, ", ") + ")", v[0].hint
	}
}

// namesByLine collects them from a tree before it is woven.
func namesByLine(stmts []ast.Stmt) map[int]*lineNames {
	out := map[int]*lineNames{}
	at := func(line int) *lineNames {
		if out[line] == nil {
			out[line] = &lineNames{indexed: map[string]string{}, values: map[string][]operand{}}
		}
		return out[line]
	}
	rewriter{f: func(e ast.Expr) ast.Expr {
		switch e := e.(type) {
		case *ast.FuncCallExpr:
			n := at(e.Line())
			if e.Method != "" {
				n.calls, n.hints = append(n.calls, "method '"+e.Method+"'"), append(n.hints, e.Method)
			} else if name := exprName(e.Func); name != "" {
				p := exprPath(e.Func)
				n.calls, n.hints = append(n.calls, name), append(n.hints, p[strings.LastIndexByte(p, '.')+1:])
			}
		case *ast.AttrGetExpr:
			if k, ok := e.Key.(*ast.StringExpr); ok {
				if name := exprName(e.Object); name != "" {
					at(e.Line()).indexed[k.Value] = name
				}
			}
		case *ast.ArithmeticOpExpr:
			at(e.Line()).operands(opArithmetic, e.Lhs, e.Rhs)
		case *ast.UnaryMinusOpExpr:
			at(e.Line()).operands(opArithmetic, e.Expr)
		case *ast.UnaryLenOpExpr:
			at(e.Line()).operands(opLength, e.Expr)
		case *ast.StringConcatOpExpr:
			at(e.Line()).operands(opConcat, concatParts(e)...)
		case *ast.RelationalOpExpr:
			if e.Operator != "==" && e.Operator != "~=" {
				at(e.Line()).operands(opCompare, e.Lhs, e.Rhs)
			}
		}
		return e
	}}.block(stmts)
	return out
}
