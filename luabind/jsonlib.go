package luabind

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	lua "github.com/yuin/gopher-lua"
)

// maxJSON is the longest text that json.decode takes and json.encode makes.
const maxJSON = 4 << 20

// openJSON makes json.encode, json.decode and json.null.
func (st *State) openJSON() {
	t := st.module("json", map[string]lua.LGFunction{"encode": jsonEncode, "decode": jsonDecode})
	mt := st.base.NewTable()
	st.set(mt, "__tostring", func(L *lua.LState) int {
		L.Push(lua.LString("null"))
		return 1
	})
	mt.RawSetString("__metatable", lua.LString("json.null"))
	t.RawSetString("null", &lua.LUserData{Value: jsonNull{}, Metatable: mt})
}

// jsonNull marks JSON's null where nil would make a hole in a list.
type jsonNull struct{}

var errJSONSize = fmt.Errorf("the text has more than %d bytes", maxJSON)

// jsonEncode is json.encode(v): the text; nil, why when v has no JSON form.
func jsonEncode(L *lua.LState) int {
	b, err := encodeJSON(L.Get(1), maxJSON)
	if err != nil {
		L.Push(lua.LNil)
		L.Push(lua.LString(err.Error()))
		return 2
	}
	return build(L, string(b))
}

func encodeJSON(v lua.LValue, limit int) ([]byte, error) {
	e := jsonEncoder{limit: limit}
	if err := e.value(v, 0); err != nil {
		return nil, err
	}
	return e.b.Bytes(), nil
}

type jsonEncoder struct {
	b     bytes.Buffer
	limit int
}

func (e *jsonEncoder) value(v lua.LValue, depth int) error {
	if e.b.Len() > e.limit {
		return errJSONSize
	}
	if depth > maxDepth {
		return fmt.Errorf("table is nested more than %d deep, or holds itself", maxDepth)
	}
	switch v := v.(type) {
	case *lua.LNilType:
		e.b.WriteString("null")
	case lua.LBool:
		e.b.WriteString(v.String())
	case lua.LNumber:
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return errors.New("a number is infinite or not a number")
		}
		e.b.WriteString(strconv.FormatFloat(float64(v), 'f', -1, 64))
	case lua.LString:
		return e.text(string(v))
	case *lua.LTable:
		return e.table(v, depth)
	case *lua.LUserData:
		if _, ok := v.Value.(jsonNull); ok {
			e.b.WriteString("null")
			return nil
		}
		return fmt.Errorf("cannot encode %s", article(luaType(v)))
	default:
		return fmt.Errorf("cannot encode %s", article(luaType(v)))
	}
	return nil
}

func (e *jsonEncoder) text(s string) error {
	enc := json.NewEncoder(&e.b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return err
	}
	e.b.Truncate(e.b.Len() - 1) // the encoder's newline
	return nil
}

func (e *jsonEncoder) table(t *lua.LTable, depth int) error {
	if n := t.Len(); n > 0 && !hasOtherKeys(t, n) {
		e.b.WriteByte('[')
		for i := 1; i <= n; i++ {
			if i > 1 {
				e.b.WriteByte(',')
			}
			if err := e.value(t.RawGetInt(i), depth+1); err != nil {
				return err
			}
		}
		e.b.WriteByte(']')
		return nil
	}
	vals := map[string]lua.LValue{}
	bad := false
	t.ForEach(func(k, v lua.LValue) {
		key, ok := keyText(k)
		bad = bad || !ok
		vals[key] = v
	})
	if bad {
		return errors.New("table keys must be strings or numbers")
	}
	e.b.WriteByte('{')
	for i, k := range sortedKeys(vals) {
		if i > 0 {
			e.b.WriteByte(',')
		}
		if err := e.text(k); err != nil {
			return err
		}
		e.b.WriteByte(':')
		if err := e.value(vals[k], depth+1); err != nil {
			return err
		}
	}
	e.b.WriteByte('}')
	return nil
}

// jsonDecode is json.decode(text): the value; nil, why for bad text. null
// becomes json.null in lists and nil elsewhere.
func jsonDecode(L *lua.LState) int {
	r := runOf(L)
	s, ok := L.Get(1).(lua.LString)
	if !ok {
		L.RaiseError("json.decode: argument 1 must be a string, got %s", article(luaType(L.Get(1))))
	}
	v, err := r.decodeJSON(L, string(s))
	if err != nil {
		L.Push(lua.LNil)
		L.Push(lua.LString("json: " + err.Error()))
		return 2
	}
	L.Push(v)
	return 1
}

func (r *run) decodeJSON(L *lua.LState, s string) (lua.LValue, error) {
	if len(s) > maxJSON {
		return nil, errJSONSize
	}
	d := json.NewDecoder(bytes.NewReader([]byte(s)))
	v, err := r.jsonValue(L, d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("text behind the value")
	}
	return v, nil
}

func (r *run) jsonValue(L *lua.LState, d *json.Decoder, depth int) (lua.LValue, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested more than %d deep", maxDepth)
	}
	tok, err := d.Token()
	if err != nil {
		if err == io.EOF {
			err = errors.New("the text ends too early")
		}
		return nil, err
	}
	r.charge(L, 32)
	switch t := tok.(type) {
	case bool:
		return lua.LBool(t), nil
	case float64:
		return lua.LNumber(t), nil
	case string:
		r.charge(L, len(t))
		return lua.LString(t), nil
	case json.Delim:
		if t == '[' {
			return r.jsonList(L, d, depth)
		}
		return r.jsonObject(L, d, depth)
	}
	return lua.LNil, nil
}

func (r *run) jsonList(L *lua.LState, d *json.Decoder, depth int) (lua.LValue, error) {
	t := r.st.base.NewTable()
	null := r.st.base.G.Global.RawGetString("json").(*lua.LTable).RawGetString("null")
	for d.More() {
		v, err := r.jsonValue(L, d, depth+1)
		if err != nil {
			return nil, err
		}
		if v == lua.LNil {
			v = null
		}
		t.Append(v)
	}
	_, err := d.Token()
	return t, err
}

func (r *run) jsonObject(L *lua.LState, d *json.Decoder, depth int) (lua.LValue, error) {
	t := r.st.base.NewTable()
	for d.More() {
		k, err := d.Token()
		if err != nil {
			return nil, err
		}
		v, err := r.jsonValue(L, d, depth+1)
		if err != nil {
			return nil, err
		}
		key, ok := k.(string)
		if !ok {
			return nil, errors.New("an object's key is not a string")
		}
		t.RawSetString(key, v)
	}
	_, err := d.Token()
	return t, err
}
