// Package mi is the management interface: JSON-RPC 2.0 by POST /mi, on a unix
// socket that only its owner may open. Method names are OpenSIPS's, 4.0's
// module:command and the older ones.
package mi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sort"
	"sync"
	"syscall"
	"time"
)

const (
	maxBody    = 1 << 20          // of a request, bytes
	answerTime = 10 * time.Second // for the caller to take an answer
)

// JSON-RPC 2.0 error codes.
const (
	CodeParse          = -32700
	CodeInvalidRequest = -32600
	CodeNoMethod       = -32601
	CodeParams         = -32602
	CodeFailed         = 500 // OpenSIPS's code for a command that failed
)

// Error is a command's failure as the caller sees it.
type Error struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data,omitempty"`
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

// Params are a command's parameters: by position or by name.
type Params struct {
	List []any
	Map  map[string]any
}

// String is the parameter by name, or else by position; "" when it was not
// given.
func (p Params) String(name string, pos int) string {
	v, ok := p.Map[name]
	if !ok && pos < len(p.List) {
		v = p.List[pos]
	}
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

// Method runs one command. Its result is encoded as JSON; an *Error keeps its
// code, another error becomes CodeFailed.
type Method func(ctx context.Context, p Params) (any, error)

// Server answers commands. The zero value is not ready; see New.
type Server struct {
	mu      sync.RWMutex
	methods map[string]Method
	http    http.Server
	ln      net.Listener
}

// New makes a server that knows only "which", the list of commands.
func New() *Server {
	s := &Server{methods: make(map[string]Method)}
	s.Handle("which", func(context.Context, Params) (any, error) { return s.names(), nil })
	mux := http.NewServeMux()
	mux.HandleFunc("POST /mi", s.serve)
	s.http = http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second}
	return s
}

// Handle adds a command under each of its names.
func (s *Server) Handle(name string, m Method, aliases ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.methods[name] = m
	for _, a := range aliases {
		s.methods[a] = m
	}
}

func (s *Server) names() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]string, 0, len(s.methods))
	for n := range s.methods {
		out = append(out, n)
	}
	sort.Strings(out)
	return out
}

// ErrInUse tells that a live program answers on the socket already.
var ErrInUse = errors.New("in use by a running luasips")

// Listen makes the unix socket with mode 0600, which it has from the moment it
// can be connected to. A socket that nobody listens on any more is replaced; one
// that a program listens on, were it too busy to answer, is ErrInUse.
func (s *Server) Listen(path string) error {
	if err := free(path); err != nil {
		return fmt.Errorf("control socket %s: %w", path, err)
	}
	lc := net.ListenConfig{Control: private}
	ln, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return fmt.Errorf("control socket %s: %w", path, err)
	}
	if err := os.Chmod(path, socketMode); err != nil { // where private has no effect
		return errors.Join(err, ln.Close())
	}
	s.ln = ln
	return nil
}

const socketMode = 0o600

// private sets the mode that the socket's file will be made with.
func private(_, _ string, c syscall.RawConn) error {
	var inner error
	if err := c.Control(func(fd uintptr) { inner = syscall.Fchmod(int(fd), socketMode) }); err != nil {
		return err
	}
	if errors.Is(inner, syscall.EINVAL) { // not of sockets on this system
		return nil
	}
	return inner
}

// free makes path free to listen on, or tells why it is not.
func free(path string) error {
	c, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		return errors.Join(ErrInUse, c.Close())
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, os.ErrDeadlineExceeded):
		return ErrInUse
	case errors.Is(err, os.ErrNotExist):
		return nil
	case !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ENOTSOCK):
		return err
	}
	return removeSocket(path)
}

// removeSocket removes a stale socket and nothing else.
func removeSocket(path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st.Mode()&os.ModeSocket == 0 {
		return errors.New("a file of another kind is there")
	}
	return os.Remove(path)
}

// Serve answers until Close; the goroutine is the caller's.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close takes no more connections, removes the socket's file, and waits for
// commands that run until ctx ends; it breaks off what is left then. From the
// file's removal on another program may listen there.
func (s *Server) Close(ctx context.Context) error {
	if s.ln == nil {
		return nil
	}
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	return err
}

type request struct {
	Version string          `json:"jsonrpc"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params,omitempty"`
	ID      json.RawMessage `json:"id,omitempty"`
}

type response struct {
	Version string          `json:"jsonrpc"`
	Result  any             `json:"result,omitempty"`
	Error   *Error          `json:"error,omitempty"`
	ID      json.RawMessage `json:"id"`
}

// null is a result of nothing: an answer without error has a result
// (JSON-RPC 2.0 §5).
var null = json.RawMessage("null")

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "request too large", http.StatusRequestEntityTooLarge)
		return
	}
	resp := s.answer(r.Context(), body)
	// A command takes its time; taking the answer must not.
	if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTime)); err != nil {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// The peer may have gone; there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(resp)
}

func (s *Server) answer(ctx context.Context, body []byte) response {
	var req request
	resp := response{Version: "2.0", ID: null}
	if err := json.Unmarshal(body, &req); err != nil {
		resp.Error = &Error{Code: CodeParse, Message: "not JSON: " + err.Error()}
		if json.Valid(body) {
			resp.Error = &Error{Code: CodeInvalidRequest, Message: "a request is one object: " + err.Error()}
		}
		return resp
	}
	if req.ID != nil {
		resp.ID = req.ID
	}
	result, err := s.call(ctx, &req)
	if err == nil {
		if resp.Result = result; result == nil {
			resp.Result = null
		}
		return resp
	}
	if !errors.As(err, &resp.Error) {
		resp.Error = &Error{Code: CodeFailed, Message: err.Error()}
	}
	return resp
}

func (s *Server) call(ctx context.Context, req *request) (any, error) {
	if req.Version != "2.0" || req.Method == "" {
		return nil, &Error{Code: CodeInvalidRequest, Message: `a request wants "jsonrpc": "2.0" and "method"`}
	}
	var p Params
	if len(req.Params) > 0 && json.Unmarshal(req.Params, &p.List) != nil && json.Unmarshal(req.Params, &p.Map) != nil {
		return nil, &Error{Code: CodeParams, Message: "params must be a list or an object"}
	}
	s.mu.RLock()
	m := s.methods[req.Method]
	s.mu.RUnlock()
	if m == nil {
		return nil, &Error{Code: CodeNoMethod, Message: fmt.Sprintf("no command %q; `which` lists them", req.Method)}
	}
	return m(ctx, p)
}
