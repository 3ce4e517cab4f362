package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// The other two verifiers are run as anyone runs them, over the files of
// testdata, and must give the outcome that vectors.json says.

// verified is what the other verifiers print of one file.
type verified struct {
	Path   string
	OK     bool
	Checks []struct{ Name, Status, Words string }
}

// interpreter returns a program that must be there in CI.
func interpreter(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatalf("%s: not installed, and CI must run every verifier", name)
	}
	if err != nil {
		t.Skipf("%s: not installed: this verifier is not compared", name)
	}
	return path
}

// agrees runs a verifier once for each trust file, with all of its vectors.
func agrees(t *testing.T, command func(trust string, files []string) *exec.Cmd) {
	t.Helper()
	var all []vector
	index := must(os.ReadFile("testdata/vectors.json"))(t)
	if err := json.Unmarshal(index, &all); err != nil {
		t.Fatal(err)
	}
	byTrust := map[string][]vector{}
	for _, v := range all {
		byTrust[v.Trust] = append(byTrust[v.Trust], v)
	}
	for trust, group := range byTrust {
		var files []string
		for _, v := range group {
			files = append(files, filepath.Join("testdata", filepath.FromSlash(v.File)))
		}
		if trust != "" {
			trust = filepath.Join("testdata", trust)
		}
		cmd := command(trust, files)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, _ := cmd.Output() // the exit code says whether all are good, which they are not
		var results []verified
		if err := json.Unmarshal(out, &results); err != nil || len(results) != len(group) {
			t.Fatalf("%v: %v: %d results for %d vectors\n%s", cmd.Args[:2], err, len(results), len(group), stderr.Bytes())
		}
		for i, v := range group {
			var got [][2]string
			for _, c := range results[i].Checks {
				got = append(got, [2]string{c.Name, c.Status})
			}
			if !slices.Equal(got, v.Checks) || results[i].OK != v.OK {
				t.Errorf("%s: %v %v\nwant %v %v\n%+v", v.File, results[i].OK, got, v.OK, v.Checks, results[i].Checks)
			}
		}
	}
}

func TestPythonAgrees(t *testing.T) {
	python := interpreter(t, "python3")
	agrees(t, func(trust string, files []string) *exec.Cmd {
		args := []string{"verify.py", "--json"}
		if trust != "" {
			args = append(args, "--trust", trust)
		}
		return exec.Command(python, append(args, files...)...)
	})
}

// runPage runs the page's script without the page.
const runPage = `
const fs = require("fs");
globalThis.crypto ??= require("crypto").webcrypto;
const script = fs.readFileSync("verify.html", "utf8").match(/<script>([^]*)<\/script>/)[1];
const Ciglio = new Function(script + "; return Ciglio")();
const read = path => new Uint8Array(fs.readFileSync(path));
(async () => {
  const [trustFile, ...files] = process.argv.slice(1), results = [];
  let trust = null, refused = null;
  if (trustFile) {
    try { trust = await Ciglio.parseTrust(read(trustFile)); } catch (e) {
      if (!(e instanceof Ciglio.Bad)) throw e;
      refused = [Ciglio.outcome("trust", "fail", "trust.fail", { why: e.message })];
    }
  }
  for (const path of files) {
    const checks = refused ?? (await Ciglio.verify(read(path), trust)).checks;
    results.push({ path, ok: Ciglio.good(checks), checks });
  }
  console.log(JSON.stringify(results));
})();
`

func TestPageAgrees(t *testing.T) {
	node := interpreter(t, "node")
	agrees(t, func(trust string, files []string) *exec.Cmd {
		return exec.Command(node, append([]string{"-e", runPage, "--", trust}, files...)...)
	})
}

// TestPageAllowsOnlyItself checks that the page's policy admits exactly its own
// script and style, and nothing from elsewhere. With -update the hashes are
// written.
func TestPageAllowsOnlyItself(t *testing.T) {
	for _, tag := range []string{"script", "style"} {
		inside := regexp.MustCompile("(?s)<" + tag + ">(.*)</" + tag + ">").FindSubmatch(page)[1]
		sum := sha256.Sum256(inside)
		want := fmt.Sprintf("%s-src 'sha256-%s'", tag, base64.StdEncoding.EncodeToString(sum[:]))
		if *update {
			changed := regexp.MustCompile(tag+"-src '[^']*'").ReplaceAllLiteral(page, []byte(want))
			must(0, os.WriteFile("verify.html", changed, 0o644))(t)
			page = changed
		}
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the policy lacks %s; run with -update", want)
		}
	}
	for _, word := range []string{"http:", "https:", "fetch(", "XMLHttpRequest", "import(", "eval(", "innerHTML", "localStorage", "document.cookie"} {
		if bytes.Contains(page, []byte(word)) {
			t.Errorf("the page holds %q", word)
		}
	}
}
