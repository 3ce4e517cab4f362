package agent

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"ciglio": func() { os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr)) },
	})
}

// TestScripts runs the commands as their users do.
func TestScripts(t *testing.T) {
	if os.Getenv("CIGLIO_EXEC") != "" {
		t.Skip("the scripts run the program itself, which is of another processor")
	}
	vectors, err := filepath.Abs("../capture/evidence/testdata")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Setup: func(e *testscript.Env) error { e.Setenv("VECTORS", vectors); return nil },
	})
}
