package agent

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
		Setup: func(e *testscript.Env) error { e.Setenv("VECTORS", vectors); return inForce(e.WorkDir) },
	})
}

// inForce writes what a calibration statement names today into that of a script.
func inForce(dir string) error {
	path := filepath.Join(dir, "calibration.toml")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(current(string(text))), 0o644)
}

// current puts this program's measuring core and today into a statement, for @CORE@
// and @TODAY@.
func current(statement string) string {
	return strings.NewReplacer("@CORE@", strings.TrimSpace(coreID), "@TODAY@", time.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly)).Replace(statement)
}
