package luabind_test

import (
	"flag"
	"os"
	"testing"

	"github.com/luasips/luasips/luabind"
)

var update = flag.Bool("update", false, "write CONFIG.md anew")

// TestSettingsDoc holds CONFIG.md to the declarations of the settings.
func TestSettingsDoc(t *testing.T) {
	want := luabind.SettingsDoc()
	if *update {
		if err := os.WriteFile("CONFIG.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("CONFIG.md")
	if err != nil || string(got) != want {
		t.Errorf("CONFIG.md is not what the declarations say (%v): run make generate", err)
	}
}
