package luabind

import (
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/ast"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// condition finds a number used as a truth value: 0 is true in Lua.
func (c *checker) condition(e ast.Expr) {
	c.expr(e)
	if l, ok := e.(*ast.LogicalOpExpr); ok {
		c.numberCondition(l.Lhs)
		c.numberCondition(l.Rhs)
		return
	}
	c.numberCondition(e)
}

func (c *checker) numberCondition(e ast.Expr) {
	c.numberField(e, func(name string) string {
		return fmt.Sprintf("msg.%s is a number, and every number is true in Lua, 0 too: compare it, as in msg.%s ~= 0", name, name)
	})
}

// comparison finds a number field against a string literal, a string field or a
// yes/no result against a number.
func (c *checker) comparison(e *ast.RelationalOpExpr) {
	for _, pair := range [][2]ast.Expr{{e.Lhs, e.Rhs}, {e.Rhs, e.Lhs}} {
		switch s := pair[1].(type) {
		case *ast.StringExpr:
			c.numberField(pair[0], func(name string) string {
				return fmt.Sprintf("msg.%s is a number and never equals the string %q: write it without quotes", name, s.Value)
			})
		case *ast.NumberExpr:
			c.againstNumber(pair[0], s.Value)
		case *ast.UnaryMinusOpExpr:
			if n, ok := s.Expr.(*ast.NumberExpr); ok {
				c.againstNumber(pair[0], "-"+n.Value)
			}
		}
	}
}

func (c *checker) againstNumber(e ast.Expr, number string) {
	c.field(e, modules.KindString, func(name string) string {
		return fmt.Sprintf("msg.%s is a string and never equals the number %s: write it in quotes, or tonumber(msg.%s)", name, number, name)
	})
	call, ok := e.(*ast.FuncCallExpr)
	if !ok || call.Func == nil {
		return
	}
	m, name := c.modulePath(call.Func)
	if m == nil {
		return
	}
	if b := m.find(name); b != nil && len(b.fn.Outputs) == 0 {
		c.find(e.Line(), SeverityWarning, "%s gives true or false, never the number %s; OpenSIPS's number is in its second result: local ok, result = %s(...), result.code", b.full, number, b.full)
	}
}

// numberField runs text for msg.NAME when NAME is a number, once that is known.
func (c *checker) numberField(e ast.Expr, text func(name string) string) {
	c.field(e, modules.KindNumber, text)
}

// field runs text for msg.NAME when NAME is of that kind, once that is known.
func (c *checker) field(e ast.Expr, kind modules.Kind, text func(name string) string) {
	a, ok := e.(*ast.AttrGetExpr)
	if !ok || !c.isMsg(a.Object) {
		return
	}
	key, ok := a.Key.(*ast.StringExpr)
	if !ok {
		return
	}
	name := key.Value
	c.later(e.Line(), func() (Severity, string) {
		f := c.p.fields.byName[name]
		if f == nil || f.decl == nil || f.decl.Kind != kind || f.decl.Get == nil {
			return 0, ""
		}
		return SeverityWarning, text(name)
	})
}

// call checks one call.
func (c *checker) call(e *ast.FuncCallExpr) {
	if e.Func == nil { // a method
		if l := c.library(e.Receiver); l != "" {
			c.libraryUse(l, e.Method, e.Line())
		}
		if c.isMsg(e.Receiver) {
			c.methodCall(e)
		}
		if m, path := c.modulePath(e.Receiver); m != nil && path == "" && m.find(e.Method) != nil {
			c.find(e.Line(), SeverityError, "%s.%s is called with a dot: %s.%s(...)", m.decl.Name, e.Method, exprPath(e.Receiver), e.Method)
		}
		c.expr(e.Receiver)
		c.exprs(e.Args)
		return
	}
	if a, ok := e.Func.(*ast.AttrGetExpr); ok && c.isMsg(a.Object) {
		c.fieldCall(a)
	}
	path := exprPath(e.Func)
	c.calls(path)
	if id, ok := e.Func.(*ast.IdentExpr); ok {
		if _, known := c.lookup(id.Value); !known {
			c.globalCall(id.Value, e)
			return
		}
	}
	if (path == "table.insert" || path == "table.remove" || path == "table.sort") && len(e.Args) > 0 {
		c.tableWrite(e.Args[0], e.Line())
	}
	if _, shadowed := c.lookup("re"); !shadowed && strings.HasPrefix(path, "re.") {
		c.patternCall(strings.TrimPrefix(path, "re."), e)
	}
	m, name := c.modulePath(e.Func)
	if m == nil {
		c.expr(e.Func)
		c.exprs(e.Args)
		return
	}
	c.expr(e.Func)
	b := m.find(name)
	if b == nil {
		c.exprs(e.Args)
		return
	}
	c.armed(b, e.Args)
	c.moduleCall(b, e)
}

// calls notes that the code being walked calls a route or a helper.
func (c *checker) calls(path string) {
	if c.fn == nil || path == "" {
		return
	}
	if l, known := c.lookup(path); known {
		path = l.fn
	}
	f := c.owner()
	f.calls = append(f.calls, path)
}

// armed walks arguments; a function where a route is taken is a handler of that
// type.
func (c *checker) armed(b *binding, args []ast.Expr) {
	for i, a := range args {
		f, ok := a.(*ast.FunctionExpr)
		if ok && i < len(b.fn.Args) && b.fn.Args[i].Route != 0 {
			c.function(f, &function{kinds: b.fn.Args[i].Route}, true)
			continue
		}
		c.expr(a)
	}
}

// methodCall finds msg:NAME(...) where NAME is no method.
func (c *checker) methodCall(e *ast.FuncCallExpr) {
	name := e.Method
	c.later(e.Line(), func() (Severity, string) {
		methods := c.p.states[0].mts.msgMethods
		switch {
		case methods[name] != nil:
			return 0, ""
		case c.p.fields.byName[name] != nil:
			return SeverityError, noMethod(c.p.fields.byName[name])
		}
		return SeverityError, fmt.Sprintf("msg has no method %q%s", name, didYouMean(name, sortedKeys(methods)))
	})
}

// fieldCall finds msg.NAME(...): a field is no function, and a method is called
// with a colon.
func (c *checker) fieldCall(a *ast.AttrGetExpr) {
	key, ok := a.Key.(*ast.StringExpr)
	if !ok {
		return
	}
	name := key.Value
	c.later(a.Line(), func() (Severity, string) {
		switch {
		case c.p.states[0].mts.msgMethods[name] != nil:
			return SeverityError, fmt.Sprintf("msg.%s is a method, which is called with a colon: msg:%s(...)", name, name)
		case c.p.fields.byName[name] != nil:
			return SeverityError, noMethod(c.p.fields.byName[name])
		}
		return 0, ""
	})
}

// noMethod is the error for a field that is called.
func noMethod(f *fieldDef) string {
	read := "msg." + f.name
	if f.own != nil && f.own.indexed || f.decl != nil && f.decl.GetKey != nil {
		read += "[\"NAME\"]"
	}
	return fmt.Sprintf("msg.%s is a field, not a function: read %s", f.name, read)
}

// globalCall checks xlog, timer_route and the like.
func (c *checker) globalCall(name string, e *ast.FuncCallExpr) {
	c.globalRead(name, e.Line())
	switch name {
	case "xlog":
		c.xlogCall(e)
		return
	case "launch":
		if len(e.Args) > 0 {
			if f, ok := e.Args[0].(*ast.FunctionExpr); ok {
				c.function(f, &function{kinds: api.RouteLaunch}, false)
				c.exprs(e.Args[1:])
				return
			}
		}
	case "timer_route":
		if len(e.Args) == 3 {
			if f, ok := e.Args[2].(*ast.FunctionExpr); ok {
				c.exprs(e.Args[:2])
				c.function(f, &function{kinds: api.RouteTimer}, true)
				return
			}
		}
	}
	c.exprs(e.Args)
}

// xlogCall checks that the format is constant and knows its names.
func (c *checker) xlogCall(e *ast.FuncCallExpr) {
	at := 0
	if len(e.Args) > 1 {
		if _, table := e.Args[1].(*ast.TableExpr); !table {
			at = 1
			if s, ok := e.Args[0].(*ast.StringExpr); ok {
				if _, known := parseLevel(s.Value); !known {
					c.find(e.Line(), SeverityError, "xlog: unknown level %q; L_ALERT, L_CRIT, L_ERR, L_WARN, L_NOTICE, L_INFO and L_DBG are known", s.Value)
				}
			}
		}
	}
	for i, a := range e.Args {
		if _, constant := a.(*ast.StringExpr); !constant && i != at {
			c.expr(a)
		}
	}
	if at >= len(e.Args) {
		return
	}
	s, ok := e.Args[at].(*ast.StringExpr)
	if !ok {
		c.find(e.Line(), SeverityWarning, "xlog: the format is not constant: what it is joined from is expanded too; give values in the table: xlog(\"L_INFO\", \"... $var(x)\", {x = x})")
		c.expr(e.Args[at])
		return
	}
	f := parseFormat(s.Value)
	if f.err != nil {
		c.find(e.Line(), SeverityError, "xlog: %s", f.err.Error())
		return
	}
	c.later(e.Line(), func() (Severity, string) {
		for i := range f.parts {
			if part := &f.parts[i]; part.name != "" && !c.p.knownVariable(part) {
				return SeverityWarning, fmt.Sprintf("xlog: nothing is known as $%s; it reads %s", part.name, nullText)
			}
		}
		return 0, ""
	})
}

// patternCall compiles the constant pattern of re.match and its kin.
func (c *checker) patternCall(name string, e *ast.FuncCallExpr) {
	if len(e.Args) < 2 {
		return
	}
	if s, ok := e.Args[1].(*ast.StringExpr); ok && name != "escape" {
		if x := compilePattern(patternKey{s.Value, false}); x.err != nil {
			c.find(e.Line(), SeverityError, "re.%s: %s", name, x.err.Error())
		}
	}
}

// moduleCall checks where the call stands, and its constant arguments.
func (c *checker) moduleCall(b *binding, e *ast.FuncCallExpr) {
	c.place(b, e)
	n := len(e.Args)
	if n > 0 && c.isMsg(e.Args[0]) && (len(b.fn.Args) == 0 || b.fn.Args[0].Kind != modules.KindAny) {
		c.find(e.Line(), SeverityError, "%s acts on the handler's message by itself: leave msg out", b.full)
		return
	}
	open := n > 0 && isOpenEnded(e.Args[n-1])
	if n > b.max && !open || n < b.min && !open {
		c.find(e.Line(), SeverityError, "%s takes %s, got %d", b.full, countText(b.min, b.max), n)
		return
	}
	for i := range min(n, b.max) {
		c.constantArg(b, i, e.Args[i])
	}
}

// isOpenEnded tells whether the last argument may give any number of values.
func isOpenEnded(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.FuncCallExpr:
		return !e.AdjustRet
	case *ast.Comma3Expr:
		return !e.AdjustRet
	}
	return false
}

// place finds calls from routes that forbid the function, and blocking where
// later messages of the call wait for it.
func (c *checker) place(b *binding, e *ast.FuncCallExpr) {
	if c.fn == nil {
		if !b.fn.TopLevel {
			c.find(e.Line(), SeverityError, "%s cannot be called at the top level; it works in %s", b.full, routesText(b.routes))
		}
		return
	}
	fn := c.owner()
	c.later(e.Line(), func() (Severity, string) {
		switch {
		case fn.kinds != 0 && fn.kinds&b.routes == 0:
			return SeverityWarning, fmt.Sprintf("%s cannot be called in %s; it works in %s", b.full, routesText(fn.kinds), routesText(b.routes))
		case b.fn.Blocks && fn.kinds&api.RouteReply != 0:
			return SeverityWarning, fmt.Sprintf("%s may wait, and later messages of the call wait with it; launch() runs it after the reply", b.full)
		}
		return 0, ""
	})
}

// constantArg checks an argument that is known without running.
func (c *checker) constantArg(b *binding, i int, e ast.Expr) {
	a := &b.fn.Args[i]
	var v lua.LValue
	switch x := e.(type) {
	case *ast.StringExpr:
		v = lua.LString(x.Value)
	case *ast.NumberExpr:
		n, ok := parseNumber(x.Value)
		if !ok {
			return
		}
		v = lua.LNumber(n)
	case *ast.TrueExpr:
		v = lua.LTrue
	case *ast.FalseExpr:
		v = lua.LFalse
	case *ast.NilExpr:
		v = lua.LNil
	default:
		return
	}
	if v == lua.LNil && i == 0 && b.mod.decl.Name == "tr" {
		return
	}
	full := func(err error) string { return fmt.Sprintf("%s: argument %d %q %s", b.full, i+1, a.Name, err.Error()) }
	if s, ok := v.(lua.LString); ok && (a.Route != 0 || a.Kind == modules.KindFunc) {
		c.later(e.Line(), func() (Severity, string) {
			if _, err := c.p.route(a.Route, string(s)); err != nil && s != "" {
				return SeverityError, full(err)
			}
			return 0, ""
		})
		return
	}
	if s, ok := v.(lua.LString); ok && a.Pattern && s != "" {
		if x := compilePattern(patternKey{string(s), false}); x.err != nil {
			c.find(e.Line(), SeverityError, "%s: argument %d %q: %s", b.full, i+1, a.Name, x.err.Error())
		}
	}
	if _, err := (&State{prog: c.p}).argument(a, v); err != nil {
		c.find(e.Line(), SeverityError, "%s", full(err))
	}
}
