// Package browser looks at pages with a real browser, for the tests of whoever
// makes pages: Debian's Chromium, driven by playwright-core, with axe-core, of the
// versions in package-lock.json.
//
// A page is in order when it answers, asks no third host, makes the browser
// complain of nothing, is no wider than its window, has no finding of axe, and
// every place of it is reached by the keyboard and seen to be. [Rules] ask for more.
// Axe is asked once of a page in one language and colours: at the width that is named
// first, which ought to be the narrowest. Layout and keyboard are looked at in each.
//
// make test installs what is needed: the modules lie in the user's cache, in a
// folder named by the hash of the lock. Where they or Chromium are missing, tests
// are skipped, and fail where CI=true.
package browser

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // of the lock and the script
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

//go:embed package-lock.json
var lock []byte

//go:embed look.cjs
var script []byte

// Rules are what not every page must keep.
type Rules struct {
	Target  int `json:"target"`  // least width and height of what is pressed, in CSS pixels; 0: none
	Letters int `json:"letters"` // least size of letters, likewise
}

// A Visit is one look at a page.
type Visit struct {
	Name     string   `json:"name"`
	Path     string   `json:"path"`
	Status   int      `json:"status,omitempty"` // wanted; 0 means 200
	Language string   `json:"language"`         // such as de
	Width    int      `json:"width"`            // of the window in CSS pixels
	NoScript bool     `json:"noScript"`         // axe is not asked then: it is a script
	Dark     bool     `json:"dark"`
	Print    bool     `json:"print"` // as it is printed: only looked at by people, and for Want
	Cookies  []Cookie `json:"cookies,omitempty"`
	Steps    []Step   `json:"steps,omitempty"` // before it is looked at
	Want     []string `json:"want,omitempty"`  // texts that the page must show
}

// A Cookie is sent with each request of a visit.
type Cookie struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// A Step is what a person does on the page. Things are found by their label, or by a
// selector where they have none.
type Step struct {
	Do       string `json:"do"` // fill, check, focus, press, click or go
	Label    string `json:"label,omitempty"`
	Selector string `json:"selector,omitempty"`
	Value    string `json:"value,omitempty"` // text, key or address
}

// Look makes the visits to the pages at url, one after the other, and fails the test
// with everything that is wrong. Where CIGLIO_SCREENSHOTS names a folder it leaves a
// picture of each there. The short run, which also tries other processors, has no
// browser.
func Look(t *testing.T, url string, rules Rules, visits []Visit) {
	t.Helper()
	if testing.Short() {
		t.Skip("short: a browser")
	}
	chromium, modules, err := find()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	results, err := look(t, chromium, modules, url, rules, visits)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		for _, fault := range r.Faults {
			t.Errorf("%s: %s", r.Name, fault)
		}
	}
}

// A result is what was wrong in one visit.
type result struct {
	Name   string
	Faults []string
}

// look runs the script.
func look(t *testing.T, chromium, modules, url string, rules Rules, visits []Visit) ([]result, error) {
	input, err := json.Marshal(struct {
		URL      string  `json:"url"`
		Chromium string  `json:"chromium"`
		Shots    string  `json:"shots,omitempty"`
		Rules    Rules   `json:"rules"`
		Visits   []Visit `json:"visits"`
	}{url, chromium, os.Getenv("CIGLIO_SCREENSHOTS"), rules, visits})
	if err != nil {
		return nil, err
	}
	program := filepath.Join(t.TempDir(), "look.cjs")
	if err := os.WriteFile(program, script, 0o600); err != nil {
		return nil, err
	}
	command := exec.CommandContext(t.Context(), "node", program)
	command.Env = append(os.Environ(), "CIGLIO_BROWSER="+modules)
	command.Stdin = bytes.NewReader(input)
	var complaint bytes.Buffer
	command.Stderr = &complaint
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("node: %w\n%s", err, complaint.Bytes())
	}
	var results []result
	if err := json.Unmarshal(output, &results); err != nil {
		return nil, err
	}
	if len(results) != len(visits) {
		return nil, fmt.Errorf("%d of %d visits were made", len(results), len(visits))
	}
	return results, nil
}

// find returns Chromium and the folder of the modules.
func find() (chromium, modules string, err error) {
	chromium, err = exec.LookPath("chromium")
	if err != nil {
		return "", "", fmt.Errorf("%w: make test installs it", err)
	}
	if _, err := exec.LookPath("node"); err != nil {
		return "", "", fmt.Errorf("%w: make test installs it", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", "", err
	}
	sum := sha256.Sum256(lock)
	modules = filepath.Join(cache, "ciglio", "browser-"+hex.EncodeToString(sum[:])[:12])
	if _, err := os.Stat(filepath.Join(modules, "node_modules", "playwright-core")); err != nil {
		return "", "", fmt.Errorf("%w: make browser fetches it", err)
	}
	return chromium, modules, nil
}
