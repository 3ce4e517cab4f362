package evidence

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"ciglio/sensor"
)

// The other two verifiers are run as anyone runs them, over the files of
// testdata, and must give the outcome that vectors.json says.

// verified is what the other verifiers print of one file.
type verified struct {
	Path    string
	OK      bool
	Verdict string
	Line    string
	Facts   []struct {
		Name, Value, Code string
		Args              arguments
	}
	Checks []verifiedCheck
}

type verifiedCheck struct {
	Name, Status, Code, Words string
	Mandatory                 bool
	Args                      arguments
}

// arguments are those of a code as JSON has them: type and value by name.
type arguments map[string]map[string]any

// UnmarshalJSON keeps every digit of a number.
func (a *arguments) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var all map[string]map[string]any
	err := d.Decode(&all)
	*a = all
	return err
}

// compared returns arguments without what is not compared: details are of each
// verifier's own parser.
func (a arguments) compared(t *testing.T) string {
	t.Helper()
	for name, typed := range a {
		if _, detail := typed["detail"]; detail {
			a[name] = nil
		}
	}
	return string(must(json.Marshal(map[string]map[string]any(a)))(t))
}

// ours returns our own arguments as JSON has them.
func ours(t *testing.T, args Args) (a arguments) {
	t.Helper()
	if err := json.Unmarshal(must(json.Marshal(args))(t), &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// sameChecks compares what another verifier says with what we say: names, states,
// codes and arguments, and the English sentence where no detail stands in it.
func sameChecks(t *testing.T, where string, got verified, want Verdict) {
	t.Helper()
	if len(got.Checks) != len(want.Checks) {
		t.Errorf("%s: %d checks, ours are %d", where, len(got.Checks), len(want.Checks))
		return
	}
	for i, w := range want.Checks {
		g := got.Checks[i]
		args, mine := g.Args.compared(t), ours(t, w.Args).compared(t)
		if g.Name != w.Name || g.Status != w.Status.String() || g.Mandatory != w.Mandatory || g.Code != w.Code || args != mine && len(w.Args) > 0 {
			t.Errorf("%s: %s %s %s %s\nours  %s %v %s %s", where, g.Name, g.Status, g.Code, args, w.Name, w.Status, w.Code, mine)
		}
		if _, detail := w.Args["detail"]; !detail && g.Words != w.Words() {
			t.Errorf("%s: %s: %q\nours  %q", where, w.Code, g.Words, w.Words())
		}
	}
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
	if testing.Short() {
		t.Skip("short: Go's verdicts over the vectors are TestVectors's, and the other two run on the machine itself")
	}
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
		var trusted []byte
		if trust != "" {
			trusted = must(os.ReadFile(trust))(t)
		}
		for i, v := range group {
			sameChecks(t, v.File, results[i], judge(must(os.ReadFile(files[i]))(t), trusted))
			var got [][2]string
			for _, c := range results[i].Checks {
				got = append(got, [2]string{c.Name, c.Status})
			}
			if !slices.Equal(got, v.Checks) || results[i].OK != v.OK || results[i].Verdict != v.Verdict {
				t.Errorf("%s: %v %s %v\nwant %v %s %v\n%+v", v.File, results[i].OK, results[i].Verdict, got, v.OK, v.Verdict, v.Checks, results[i].Checks)
			}
		}
	}
}

func TestPythonAgrees(t *testing.T) {
	python := interpreter(t, "python3")
	agrees(t, func(trust string, files []string) *exec.Cmd {
		args := []string{"verify.py", "--json", "--each"}
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
  const [how, trustFile, ...files] = process.argv.slice(1), results = [], all = [];
  if (process.env.SPEAK) Ciglio.speak(process.env.SPEAK);
  let trust = null, refused = null;
  if (trustFile) {
    try { trust = await Ciglio.parseTrust(read(trustFile)); } catch (e) {
      if (!(e instanceof Ciglio.Bad)) throw e;
      refused = [Ciglio.outcome("trust", "fail", "trust.unusable", { detail: e.message })];
    }
  }
  for (const path of files) all.push(Object.assign(refused ? { checks: refused } : await Ciglio.verify(read(path), trust), { name: path }));
  if (how === "together") Ciglio.together(all);
  for (const [i, c] of all.entries()) {
    const facts = (c.r ? Ciglio.facts(c.r) : []).map(([name, code, values]) => ({ name, code, value: Ciglio.say(code, values), args: Ciglio.typed(code, values) }));
    const checks = c.checks.map(({ name, status, mandatory, code, values }) => ({ name, status, mandatory, code, words: Ciglio.say(code, values), args: Ciglio.typed(code, values) }));
    results.push({ path: files[i], ok: Ciglio.good(c.checks), verdict: Ciglio.verdict(c).word, line: Ciglio.verdict(c).line, facts, checks });
  }
  const big = (_, v) => typeof v === "bigint" ? "\u0000" + v : v; // JSON has no big integers: every digit is kept
  console.log(JSON.stringify(results, big).replace(/"\\u0000(-?\d+)"/g, "$1"));
})();
`

func TestPageAgrees(t *testing.T) {
	node := interpreter(t, "node")
	agrees(t, func(trust string, files []string) *exec.Cmd {
		return exec.Command(node, append([]string{"-e", runPage, "--", "each", trust}, files...)...)
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

// other is one of the two other verifiers.
type other struct {
	name string
	run  func(how, trust string, files ...string) []verified
}

// others returns the two other verifiers. how is "each" or "together".
func others(t *testing.T) []other {
	python, node := interpreter(t, "python3"), interpreter(t, "node")
	result := func(cmd *exec.Cmd) []verified {
		t.Helper()
		var results []verified
		out, err := cmd.Output() // the exit code is tested elsewhere
		if json.Unmarshal(out, &results) != nil {
			t.Fatalf("%v: %v\n%s", cmd.Args[0], err, out)
		}
		return results
	}
	return []other{
		{"verify.py", func(how, trust string, files ...string) []verified {
			args := []string{"verify.py", "--json", "--trust", trust}
			if how == "each" {
				args = append(args, "--each")
			}
			return result(exec.Command(python, append(args, files...)...))
		}},
		{"verify.html", func(how, trust string, files ...string) []verified {
			return result(exec.Command(node, append([]string{"-e", runPage, "--", how, trust}, files...)...))
		}},
	}
}

// TestD18_OthersJudgeWhatWasPackedAnew gives archives to the other two that no
// vector can hold, since packing differs with the release of the packer.
func TestD18_OthersJudgeWhatWasPackedAnew(t *testing.T) {
	dir := t.TempDir()
	trust := must(ParseTrust(must(os.ReadFile("testdata/trust.pem"))(t)))(t)
	var files []string
	for name, change := range map[string]func([]file) []file{
		"plain": func(f []file) []file { return f },
		"left": func(f []file) []file {
			return append(f, file{"Thumbs.db", []byte("x")}, file{"__MACOSX/._frames", []byte("x")}, file{"citt\u00e0 \u202e\a\"b.txt", []byte("x")}, file{"\xe0.txt", []byte("x")})
		},
		"changed": func(f []file) []file { f[1].data = append(bytes.Clone(f[1].data), 0); return f },
		"backslash": func(f []file) []file {
			for i := range f {
				f[i].name = strings.ReplaceAll(f[i].name, "/", `\`)
			}
			return f
		},
		"deep": func(f []file) []file {
			for i := range f {
				f[i].name = "to the court/2026/a case/" + f[i].name
			}
			return append(f, file{"to the court/Thumbs.db", []byte("x")}, file{"to the court/2026/a case/old/record.cose", []byte("x")})
		},
		"folder": func(f []file) []file {
			for i := range f {
				f[i].name = "a case/" + f[i].name
			}
			return append(f, file{"a case/.DS_Store", []byte("x")})
		},
	} {
		var out bytes.Buffer
		w := zip.NewWriter(&out)
		for _, f := range slices.Backward(change(append(filesOf(t, bundleOf(t, violation(t), "device")), file{namePage, page}))) {
			_, err := must(w.Create(f.name))(t).Write(f.data)
			must(0, err)(t)
		}
		must(0, w.Close())(t)
		files = append(files, filepath.Join(dir, name+".zip"))
		must(0, os.WriteFile(files[len(files)-1], out.Bytes(), 0o600))(t)
	}
	for _, other := range others(t) {
		for i, r := range other.run("each", "testdata/trust.pem", files...) {
			data := must(os.ReadFile(files[i]))(t)
			v := Verify(must(ReadBundle(bytes.NewReader(data), int64(len(data))))(t), trust)
			var got [][2]string
			for _, c := range r.Checks {
				got = append(got, [2]string{c.Name, c.Status})
			}
			if !slices.Equal(got, outcome(v)) || r.Verdict != v.Word() || v.OK() == strings.Contains(files[i], "changed") {
				t.Errorf("%s: %s: %s %v, ours %s %v", other.name, filepath.Base(files[i]), r.Verdict, r.Checks, v.Word(), outcome(v))
			}
			if words := r.Checks[len(r.Checks)-1].Words; !strings.Contains(words, "this page is not part of what was checked") {
				t.Errorf("H14: %s: %s", other.name, words)
			}
			if words, ours := r.Checks[len(r.Checks)-2].Words, v.Checks[len(v.Checks)-2].Words(); words != ours {
				t.Errorf("D23: %s says %s\nours %s", other.name, words, ours)
			} else if !strings.Contains(words, "Not the original archive") || strings.Contains(files[i], "left") != strings.Contains(words, `"Thumbs.db", "__MACOSX/._frames", "città ??\"b.txt", "à.txt"`) {
				t.Errorf("%s: %s", other.name, words)
			}
		}
	}
}

// TestH05_OthersNameReuse gives records with the same pictures to the other two.
func TestH05_OthersNameReuse(t *testing.T) {
	files := []string{"testdata/valid/violation.zip", "testdata/valid/violation-second-speed.zip", "testdata/valid/heartbeat.cose", "testdata/invalid/key-unknown.zip"}
	for _, other := range others(t) {
		for i, r := range other.run("together", "testdata/trust.pem", files...) {
			failed := slices.ContainsFunc(r.Checks, func(c verifiedCheck) bool {
				return c.Name == "reuse" && c.Status == "fail" && strings.HasPrefix(c.Words, "Picture 1 is also picture 1 of record 42")
			})
			if failed != (i < 2) || r.OK != (i == 2) {
				t.Errorf("%s: %s: %s, reuse named: %v", other.name, files[i], r.Verdict, failed)
			}
		}
		for _, r := range other.run("together", "testdata/trust.pem", files[0], files[0], files[2]) {
			if !r.OK {
				t.Errorf("%s: the same record twice: %+v", other.name, r)
			}
		}
	}
}

// TestH08_PythonGoesOnBesideWhatCannotBeRead gives a batch to verify.py.
func TestH08_PythonGoesOnBesideWhatCannotBeRead(t *testing.T) {
	python, dir := interpreter(t, "python3"), t.TempDir()
	good := must(os.ReadFile("testdata/valid/heartbeat.cose"))(t)
	for name, data := range map[string][]byte{
		"broken.cose": good[:99], "unsigned.cose": append(bytes.Clone(good[:len(good)-64]), make([]byte, 64)...), "good.cose": good,
		"empty.cose": nil, "text.zip": []byte("PK and no more"), "inner/record.cose": good, "notes.txt": []byte("x"), "array.cose": bytes.Repeat([]byte{0x81}, 9999),
	} {
		path := filepath.Join(dir, name)
		must(0, os.MkdirAll(filepath.Dir(path), 0o700))(t)
		must(0, os.WriteFile(path, data, 0o600))(t)
	}
	must(0, errors.Join(syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600), os.Symlink("good.cose", filepath.Join(dir, "link.cose"))))(t)
	cmd := exec.Command(python, "verify.py", "--json", "--trust", "testdata/trust.pem", dir, "/dev/zero", filepath.Join(dir, "pipe"), filepath.Join(dir, "none"))
	out, _ := cmd.Output()
	var results []verified
	if err := json.Unmarshal(out, &results); err != nil || cmd.ProcessState.ExitCode() != 1 {
		t.Fatalf("%v, exit %d\n%s", err, cmd.ProcessState.ExitCode(), out)
	}
	var got []string
	for _, r := range results {
		got = append(got, strings.TrimPrefix(r.Path, dir+"/")+" "+r.Verdict+" "+r.Checks[0].Name)
	}
	want := []string{"array.cose bad format", "broken.cose bad format", "empty.cose bad bundle", "good.cose good format", "inner good format", "link.cose bad bundle",
		"pipe bad bundle", "text.zip bad bundle", "unsigned.cose bad format", "/dev/zero bad bundle", "pipe bad bundle", "none bad bundle"}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
}

// TestD23_OneFactOneWord compares what the three verifiers say of every kind of
// record, and of every way to say a fact.
func TestD23_OneFactOneWord(t *testing.T) {
	dir := t.TempDir()
	var files []string
	add := func(r *Record) {
		files = append(files, filepath.Join(dir, fmt.Sprintf("%d.cose", len(files))))
		must(0, os.WriteFile(files[len(files)-1], must(Seal(r, testSigner(t, "device")))(t).Bytes, 0o600))(t)
	}
	for k := range bodies() {
		add(ofKind(t, k))
	}
	for _, change := range []func(*Record){
		func(r *Record) { r.Measurement.Direction = sensor.Receding },
		func(r *Record) { r.Measurement.Direction = sensor.DirectionUnknown },
		func(r *Record) { r.Measurement.Second = confirmed(r.Measurement) },
		func(r *Record) {
			r.Measurement.Second = &Second{Method: MethodDisplacement, Speed: 6000, Tolerance: 630}
		},
		func(r *Record) {
			r.Site.Lane, r.Site.Latitude, r.Site.Longitude, r.Site.Position = 0, -1, -1_799_999_999, 7
		},
		func(r *Record) { r.UTC, r.Clock.Synchronised = time.Date(2026, 7, 1, 22, 30, 0, 0, time.UTC), false },
		func(r *Record) {
			r.UTC, r.Clock.Uncertainty = time.Date(2026, 10, 25, 0, 59, 59, 999999000, time.UTC), 999_999_999
		},
		func(r *Record) { r.UTC = time.Date(2026, 3, 29, 1, 0, 0, 1000, time.UTC) },
		func(r *Record) { r.Measurement.Targets, r.Measurement.Uncertainty = 3, 1234 },
		func(r *Record) { r.Calibration.Approval, r.Calibration.Decree = "", " " },
		func(r *Record) { r.Calibration.Approval = " D.D. n. 1 " },
		func(r *Record) { r.Calibration.NotAfter = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) },
		func(r *Record) { r.UTC = time.Date(9999, 12, 31, 22, 59, 59, 999999000, time.UTC) },
	} {
		r := violation(t)
		change(r)
		add(r)
	}
	for _, other := range others(t) {
		for i, r := range other.run("each", "testdata/trust.pem", files...) {
			facts := Facts(must(Open(must(os.ReadFile(files[i]))(t)))(t).Record)
			if len(facts) != len(r.Facts) {
				t.Fatalf("%s says %d facts, ours are %d", other.name, len(r.Facts), len(facts))
			}
			for j, want := range facts {
				got := r.Facts[j]
				if args := got.Args.compared(t); got.Name != want.Name || got.Code != want.Code || got.Value != want.Value() || args != ours(t, want.Args).compared(t) && len(want.Args) > 0 {
					t.Errorf("%s says %+v\nours %+v", other.name, got, want)
				}
			}
		}
	}
}
