package luabind

import (
	"fmt"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/ast"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// checker walks a parsed file and finds what running it would find too late.
// What depends on the loaded modules and on all routes waits in p.uses for the
// end of the top level.
type checker struct {
	p      *Program
	src    *source
	scopes []map[string]local
	fn     *function // the handler being walked; nil at top level
}

// local is what a local variable is known to hold.
type local struct {
	mod  *moduleRec // a module's table
	msg  bool       // a handler's message
	file bool       // declared at the file's top level
	fn   string     // the helper function that it is, as function.name says
}

// function is a handler of the script, or a function in one.
type function struct {
	name  string // "route.relay", or a helper's "name" or "file:name"; "" for others
	route bool   // it stands in a route table
	kinds api.Route
	calls []string // names of functions that it calls
	outer *function
}

// use is something to check once modules and routes are known.
type use struct {
	file string
	line int
	run  func() (Severity, string) // "" when it is right
}

// check walks one file.
func (p *Program) check(s *source, tree []ast.Stmt) {
	c := &checker{p: p, src: s}
	c.push()
	c.block(tree)
}

// checkUses runs what waited for the end of the top level.
func (p *Program) checkUses() {
	p.spreadKinds()
	for _, u := range p.uses {
		if sev, text := u.run(); text != "" {
			p.find(Finding{Severity: sev, File: u.file, Line: u.line, Text: text})
		}
	}
	p.uses, p.functions = nil, nil
}

// spreadKinds gives helpers and request routes that others call the kinds of
// their callers.
func (p *Program) spreadKinds() {
	byName := map[string]*function{}
	for _, f := range p.functions {
		if f.name != "" {
			byName[f.name] = f
		}
	}
	if f := byName["route.main"]; f != nil {
		f.kinds = api.RouteRequest
	}
	for changed := true; changed; {
		changed = false
		for _, f := range p.functions {
			for _, name := range f.calls {
				g := byName[name]
				if g != nil && (!g.route || strings.HasPrefix(name, "route.")) && g.kinds|f.kinds != g.kinds {
					g.kinds |= f.kinds
					changed = true
				}
			}
		}
	}
}

func (c *checker) find(line int, sev Severity, format string, args ...any) {
	c.p.find(Finding{Severity: sev, File: c.src.name, Line: line, Text: fmt.Sprintf(format, args...)})
}

func (c *checker) later(line int, run func() (Severity, string)) {
	c.p.uses = append(c.p.uses, use{c.src.name, line, run})
}

func (c *checker) push() { c.scopes = append(c.scopes, map[string]local{}) }
func (c *checker) pop()  { c.scopes = c.scopes[:len(c.scopes)-1] }

func (c *checker) declare(name string, l local) {
	l.file = len(c.scopes) == 1
	c.scopes[len(c.scopes)-1][name] = l
}

func (c *checker) lookup(name string) (local, bool) {
	for i := len(c.scopes) - 1; i >= 0; i-- {
		if l, ok := c.scopes[i][name]; ok {
			return l, true
		}
	}
	return local{}, false
}

// module is the module that e is known to be; nil when it is not known.
func (c *checker) module(e ast.Expr) *moduleRec {
	switch e := e.(type) {
	case *ast.IdentExpr:
		if l, ok := c.lookup(e.Value); ok {
			return l.mod
		}
		if m := c.p.byName[e.Value]; m != nil && m.decl.Builtin {
			return m
		}
	case *ast.FuncCallExpr:
		name, ok := e.Func.(*ast.IdentExpr)
		if ok && len(e.Args) > 0 && (name.Value == "loadmodule" || name.Value == "require") {
			if s, ok := e.Args[0].(*ast.StringExpr); ok {
				return c.p.byName[s.Value]
			}
		}
	}
	return nil
}

func (c *checker) isMsg(e ast.Expr) bool {
	id, ok := e.(*ast.IdentExpr)
	if !ok {
		return false
	}
	l, _ := c.lookup(id.Value)
	return l.msg
}

func (c *checker) block(stmts []ast.Stmt) {
	for _, s := range stmts {
		c.stmt(s)
	}
}

func (c *checker) scoped(stmts []ast.Stmt, names ...string) {
	c.push()
	for _, n := range names {
		c.declare(n, local{})
	}
	c.block(stmts)
	c.pop()
}

func (c *checker) stmt(s ast.Stmt) {
	switch s := s.(type) {
	case *ast.AssignStmt:
		c.assign(s)
	case *ast.LocalAssignStmt:
		c.localAssign(s)
	case *ast.FuncCallStmt:
		c.expr(s.Expr)
	case *ast.DoBlockStmt:
		c.scoped(s.Stmts)
	case *ast.WhileStmt:
		c.condition(s.Condition)
		c.scoped(s.Stmts)
	case *ast.RepeatStmt:
		c.push()
		c.block(s.Stmts)
		c.condition(s.Condition)
		c.pop()
	case *ast.IfStmt:
		c.condition(s.Condition)
		c.scoped(s.Then)
		c.scoped(s.Else)
	case *ast.NumberForStmt:
		c.exprs([]ast.Expr{s.Init, s.Limit, s.Step})
		c.scoped(s.Stmts, s.Name)
	case *ast.GenericForStmt:
		c.exprs(s.Exprs)
		c.scoped(s.Stmts, s.Names...)
	case *ast.FuncDefStmt:
		c.funcDef(s)
	case *ast.ReturnStmt:
		c.exprs(s.Exprs)
	}
}

func (c *checker) localAssign(s *ast.LocalAssignStmt) {
	if f, ok := firstFunction(s.Exprs); ok && len(s.Names) == 1 && len(s.Exprs) == 1 {
		fn := &function{}
		if c.fn == nil && len(c.scopes) == 1 {
			fn.name = c.src.name + ":" + s.Names[0]
		}
		c.declare(s.Names[0], local{fn: fn.name}) // it may call itself
		c.function(f, fn, false)
		return
	}
	c.exprs(s.Exprs)
	for i, n := range s.Names {
		l := local{}
		if i < len(s.Exprs) {
			l.mod, l.msg = c.module(s.Exprs[i]), c.isMsg(s.Exprs[i])
		}
		c.declare(n, l)
	}
}

func firstFunction(exprs []ast.Expr) (*ast.FunctionExpr, bool) {
	if len(exprs) == 0 {
		return nil, false
	}
	f, ok := exprs[0].(*ast.FunctionExpr)
	return f, ok
}

func (c *checker) assign(s *ast.AssignStmt) {
	for i, l := range s.Lhs {
		if id, ok := l.(*ast.IdentExpr); ok {
			c.assignName(id)
			continue
		}
		if f, ok := firstFunction(s.Rhs[min(i, len(s.Rhs)-1):]); ok && len(s.Lhs) == 1 {
			c.handler(exprPath(l), f, l.Line())
			return
		}
		c.assignMember(l)
		c.expr(l)
	}
	c.exprs(s.Rhs)
}

// assignMember finds MODULE.NAME = VALUE where NAME is no variable, and tables
// of the file that other workers will not see written.
func (c *checker) assignMember(l ast.Expr) {
	if a, ok := l.(*ast.AttrGetExpr); ok {
		c.moduleMember(a)
		c.tableWrite(a.Object, l.Line())
	}
}

// tableWrite finds writing into a table of the file or a global one where one
// worker alone runs.
func (c *checker) tableWrite(e ast.Expr, line int) {
	for {
		a, ok := e.(*ast.AttrGetExpr)
		if !ok {
			break
		}
		e = a.Object
	}
	id, ok := e.(*ast.IdentExpr)
	if !ok {
		return
	}
	l, known := c.lookup(id.Value)
	if known && !l.msg && l.mod == nil && l.file || !known && reservedName(id.Value) == "" {
		c.oneWorker(id.Value, line)
	}
}

// moduleMember finds MODULE.NAME = VALUE where NAME is no variable.
func (c *checker) moduleMember(a *ast.AttrGetExpr) {
	for _, e := range []ast.Expr{a, a.Object} { // the variable, or a key of it
		if m, path := c.modulePath(e); m != nil && path != "" {
			if v := m.variableOf(path); m.hasMember(path) && (v == nil || v.Set == nil && v.SetKey == nil) {
				c.find(a.Line(), SeverityError, "%s.%s cannot be assigned: the table of a module is read-only", m.decl.Name, path)
			}
			return
		}
	}
}

// assignName finds reserved globals, and what other workers will not see.
func (c *checker) assignName(id *ast.IdentExpr) {
	l, known := c.lookup(id.Value)
	if !known {
		if why := reservedName(id.Value); why != "" {
			c.find(id.Line(), SeverityError, "%q cannot be assigned: it is %s", id.Value, why)
			return
		}
		c.globalUse(id.Value, id.Line(), func(st *State) string { return newGlobal(id.Value) })
	}
	if !known || l.file {
		c.oneWorker(id.Value, id.Line())
	}
}

// oneWorker finds writing the variable where one worker alone runs.
func (c *checker) oneWorker(name string, line int) {
	if c.fn == nil {
		return
	}
	if k := c.kindsOf() & (api.RouteTimer | api.RouteStartup | api.RouteEvent); k != 0 {
		c.find(line, SeverityWarning, "%q is written in %s %s route, which runs in one worker: others do not see it; shared:set keeps what all see", name,
			map[bool]string{true: "an", false: "a"}[k == api.RouteEvent], k)
	}
}

// globalRead finds a global that nothing makes.
func (c *checker) globalRead(name string, line int) {
	if _, known := c.lookup(name); !known && name != "self" {
		c.globalUse(name, line, func(st *State) string {
			return fmt.Sprintf("undefined global %q%s", name, st.globalHint(name))
		})
	}
}

// globalUse finds what a function does with a global that the top level has
// not made; there it would raise.
func (c *checker) globalUse(name string, line int, text func(*State) string) {
	if c.fn == nil {
		return
	}
	c.later(line, func() (Severity, string) {
		st := c.p.states[0]
		if st.base.G.Global.RawGetString(name) != lua.LNil {
			return 0, ""
		}
		return SeverityWarning, text(st)
	})
}

func (c *checker) kindsOf() api.Route {
	for f := c.fn; f != nil; f = f.outer {
		if f.kinds != 0 {
			return f.kinds
		}
	}
	return 0
}

func (c *checker) funcDef(s *ast.FuncDefStmt) {
	if s.Name.Func == nil {
		c.function(s.Func, nil, s.Name.Method == "")
		return
	}
	if id, ok := s.Name.Func.(*ast.IdentExpr); ok {
		if _, known := c.lookup(id.Value); !known {
			c.assignName(id)
		}
	}
	c.handler(exprPath(s.Name.Func), s.Func, s.Line())
}

// handler walks a function that stands in a route table, or elsewhere.
func (c *checker) handler(path string, f *ast.FunctionExpr, line int) {
	table, _, _ := strings.Cut(path, ".")
	fn := &function{}
	for _, t := range routeTables {
		if t.name == table && path != table {
			fn.name, fn.route, fn.kinds = path, true, t.kind
			if t.kind == api.RouteRequest {
				fn.kinds = 0 // known when its callers are
			}
		}
	}
	if id, known := c.lookup(path); !fn.route && c.fn == nil && table == path && (!known || id.fn != "") {
		fn.name = path
		if known {
			fn.name = id.fn
		}
	}
	if fn.route {
		place := fmt.Sprintf("%s:%d", c.src.name, line)
		if first := c.p.declaredAt[path]; first != "" {
			c.find(line, SeverityError, "%s was declared at %s already", path, first)
		} else {
			c.p.declaredAt[path] = place
		}
	}
	c.function(f, fn, fn.route)
}

// owner is the named function or the handler that the code being walked belongs
// to: what an anonymous one in it calls counts as its own.
func (c *checker) owner() *function {
	fn := c.fn
	for fn.kinds == 0 && fn.name == "" && fn.outer != nil {
		fn = fn.outer
	}
	return fn
}

// function walks a body; the first parameter of a handler is its message.
func (c *checker) function(f *ast.FunctionExpr, fn *function, handler bool) {
	if fn == nil {
		fn = &function{}
	}
	fn.outer = c.fn
	c.fn = fn
	c.p.functions = append(c.p.functions, fn)
	c.push()
	for i, n := range f.ParList.Names {
		c.declare(n, local{msg: i == 0 && handler || n == "msg"})
	}
	c.block(f.Stmts)
	c.pop()
	c.fn = fn.outer
}

func (c *checker) exprs(list []ast.Expr) {
	for _, e := range list {
		c.expr(e)
	}
}

func (c *checker) expr(e ast.Expr) {
	switch e := e.(type) {
	case *ast.IdentExpr:
		c.globalRead(e.Value, e.Line())
	case *ast.StringExpr:
		c.literal(e)
	case *ast.AttrGetExpr:
		c.member(e)
	case *ast.TableExpr:
		for _, f := range e.Fields {
			c.expr(f.Key)
			c.expr(f.Value)
		}
	case *ast.FuncCallExpr:
		c.call(e)
	case *ast.LogicalOpExpr:
		c.exprs([]ast.Expr{e.Lhs, e.Rhs})
	case *ast.RelationalOpExpr:
		c.comparison(e)
		c.exprs([]ast.Expr{e.Lhs, e.Rhs})
	case *ast.StringConcatOpExpr:
		c.exprs([]ast.Expr{e.Lhs, e.Rhs})
	case *ast.ArithmeticOpExpr:
		c.exprs([]ast.Expr{e.Lhs, e.Rhs})
	case *ast.UnaryMinusOpExpr:
		c.expr(e.Expr)
	case *ast.UnaryNotOpExpr:
		c.condition(e.Expr)
	case *ast.UnaryLenOpExpr:
		c.expr(e.Expr)
	case *ast.FunctionExpr:
		c.function(e, nil, false)
	}
}

// literal finds $name in a string that nothing expands.
func (c *checker) literal(e *ast.StringExpr) {
	i := strings.IndexByte(e.Value, '$')
	if i < 0 {
		return
	}
	part, n, err := parseVariable(e.Value[i:])
	if err != nil || n == 0 {
		return
	}
	text := e.Value[i : i+n]
	c.later(e.Line(), func() (Severity, string) {
		if !c.p.knownVariable(&part) {
			return 0, ""
		}
		return SeverityWarning, fmt.Sprintf("%q is not expanded here: only xlog expands pseudo-variables; join with .. or cat()", text)
	})
}

// knownVariable tells whether xlog would know the pseudo-variable.
func (p *Program) knownVariable(part *formatPart) bool {
	return part.name == "var" || p.fields.byName[part.name] != nil
}

// member checks msg.NAME and MODULE.NAME.
func (c *checker) member(e *ast.AttrGetExpr) {
	key, constant := e.Key.(*ast.StringExpr)
	switch {
	case constant && c.isMsg(e.Object):
		name, line := key.Value, e.Line()
		c.later(line, func() (Severity, string) {
			if c.p.fields.byName[name] == nil && c.p.states[0].mts.msgMethods[name] == nil {
				return SeverityError, c.p.unknownField(name)
			}
			return 0, ""
		})
		return
	case constant && c.isRouteTable(e.Object):
		path, line := exprPath(e), e.Line()
		c.later(line, func() (Severity, string) {
			if c.p.declaredRoute(path) != nil {
				return 0, ""
			}
			return SeverityError, c.p.noRoute(path)
		})
		return
	case constant && c.library(e.Object) != "":
		c.libraryUse(c.library(e.Object), key.Value, e.Line())
		return
	case constant:
		if m, path := c.modulePath(e); m != nil {
			if !m.hasMember(path) {
				c.find(e.Line(), SeverityError, "%s", unknownMember(m, path))
			}
			return
		}
	}
	c.expr(e.Object)
	if !constant {
		c.expr(e.Key)
	}
}

// library is "re", "bit" and so on when e is that table of the language.
func (c *checker) library(e ast.Expr) string {
	id, ok := e.(*ast.IdentExpr)
	if !ok || !slices.Contains(libraries, id.Value) {
		return ""
	}
	if _, shadowed := c.lookup(id.Value); shadowed {
		return ""
	}
	return id.Value
}

// libraryUse finds a name that the library does not have.
func (c *checker) libraryUse(library, name string, line int) {
	c.later(line, func() (Severity, string) {
		t, ok := c.p.states[0].base.G.Global.RawGetString(library).(*lua.LTable)
		if !ok || t.RawGetString(name) != lua.LNil {
			return 0, ""
		}
		return SeverityError, notInLibrary(library, name, t)
	})
}

// isRouteTable tells whether e is route, branch_route and so on.
func (c *checker) isRouteTable(e ast.Expr) bool {
	id, ok := e.(*ast.IdentExpr)
	if !ok {
		return false
	}
	for _, t := range routeTables {
		if t.name == id.Value {
			_, shadowed := c.lookup(id.Value)
			return !shadowed
		}
	}
	return false
}

// noRoute is the error for a route that the script does not have.
func (p *Program) noRoute(path string) string {
	return "the script has no " + path + didYouMean(path, sortedKeys(p.neutral))
}

// modulePath splits tr.s.select into its module and "s.select".
func (c *checker) modulePath(e ast.Expr) (*moduleRec, string) {
	if m := c.module(e); m != nil {
		return m, ""
	}
	a, ok := e.(*ast.AttrGetExpr)
	if !ok {
		return nil, ""
	}
	key, ok := a.Key.(*ast.StringExpr)
	m, path := c.modulePath(a.Object)
	if m == nil || !ok {
		return nil, ""
	}
	if path != "" {
		path += "."
	}
	return m, path + key.Value
}

// variableOf is the variable that a path names, or names a key of.
func (m *moduleRec) variableOf(path string) *modules.Var {
	for {
		if v := m.variable(path); v != nil {
			return v
		}
		i := strings.LastIndexByte(path, '.')
		if i < 0 {
			return nil
		}
		path = path[:i]
	}
}

// hasMember tells whether the path is a function, a variable, a part of a
// variable, or the beginning of functions' names.
func (m *moduleRec) hasMember(path string) bool {
	if m.decl.Name == "core" && path == "read_file" {
		return true
	}
	for _, n := range m.names {
		if n == path || strings.HasPrefix(n, path+".") || strings.HasPrefix(path, n+".") && m.variable(n) != nil {
			return true
		}
	}
	return false
}
