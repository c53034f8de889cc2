package mi_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/luasips/luasips/engine/mi"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T, s *mi.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mi.sock")
	if err := s.Listen(path); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve() }()
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return path
}

func TestCall(t *testing.T) {
	s := mi.New()
	s.Handle("echo", func(_ context.Context, p mi.Params) (any, error) { return p.String("word", 0), nil }, "core:echo")
	s.Handle("fail", func(context.Context, mi.Params) (any, error) { return nil, errors.New("no such thing") })
	path := serve(t, s)
	tests := []struct {
		name, method string
		params       any
		want         string
		code         int
	}{
		{"by position", "echo", []string{"hi"}, `"hi"`, 0},
		{"by name", "core:echo", map[string]string{"word": "ho"}, `"ho"`, 0},
		{"missing parameter", "echo", nil, `""`, 0},
		{"list of commands", "which", nil, `["core:echo","echo","fail","which"]`, 0},
		{"failure", "fail", nil, "no such thing", mi.CodeFailed},
		{"unknown", "nope", nil, "no command \"nope\"; `which` lists them", mi.CodeNoMethod},
		{"bad params", "echo", 5, "params must be a list or an object", mi.CodeParams},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := mi.Call(t.Context(), path, tt.method, tt.params)
			if tt.code == 0 {
				if err != nil || string(got) != tt.want {
					t.Fatalf("got %s, %v; want %s", got, err, tt.want)
				}
				return
			}
			var e *mi.Error
			if !errors.As(err, &e) || e.Code != tt.code || e.Message != tt.want {
				t.Fatalf("got %v, want %d %s", err, tt.code, tt.want)
			}
		})
	}
}

func TestSocketIsPrivateAndExclusive(t *testing.T) {
	path := serve(t, mi.New())
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", st.Mode().Perm())
	}
	if err := mi.New().Listen(path); !errors.Is(err, mi.ErrInUse) {
		t.Errorf("second program: %v, want ErrInUse", err)
	}
}

func TestListenKeepsOtherFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := mi.New().Listen(path); err == nil {
		t.Fatal("a plain file was taken for a stale socket")
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "data" {
		t.Fatalf("the file was touched: %q %v", b, err)
	}
}

func TestNobodyThere(t *testing.T) {
	if _, err := mi.Call(t.Context(), filepath.Join(t.TempDir(), "none"), "which", nil); err == nil {
		t.Fatal("no error without a server")
	}
}
