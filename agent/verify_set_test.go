package agent

import (
	"archive/zip"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/sensor"
)

// testChain seals records of a device in one chain, and holds the trust file that
// vouches for its key.
type testChain struct {
	t     *testing.T
	name  string
	dev   evidence.DeviceID
	seq   uint64
	prev  evidence.Hash
	trust string // path
	at    time.Time
	mono  int64
}

// testKeyOf returns a key made from public words, for tests alone.
func testKeyOf(t *testing.T, name string) *ecdsa.PrivateKey {
	t.Helper()
	sum := sha256.Sum256([]byte("ciglio verify test: " + name))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func signerOf(t *testing.T, name string) evidence.Signer {
	t.Helper()
	s, err := evidence.NewSigner(testKeyOf(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newChains returns one chain for each name, and one trust file for all.
func newChains(t *testing.T, names ...string) []*testChain {
	t.Helper()
	var all []*testChain
	register := &evidence.Register{Sequence: 1, Issued: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)}
	for _, name := range names {
		sum := sha256.Sum256([]byte(name))
		c := &testChain{t: t, name: name, dev: evidence.DeviceID(sum[:16]), at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), mono: 1e12}
		key, err := evidence.EncodeKey(&testKeyOf(t, name).PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		register.Entries = append(register.Entries, evidence.RegisterEntry{
			Role: evidence.RoleDevice, Device: c.dev, Epoch: 1, Key: key,
			NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
		})
		all = append(all, c)
	}
	sealed, err := evidence.SealRegister(register, signerOf(t, "root"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "trust.pem")
	if err := os.WriteFile(path, evidence.EncodeTrust(&testKeyOf(t, "root").PublicKey, sealed.Bytes), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		c.trust = path
	}
	return all
}

// seal seals the next record, a heartbeat a minute later unless edit changes it.
func (c *testChain) seal(edit func(*evidence.Record)) *evidence.Sealed {
	c.t.Helper()
	c.seq, c.at, c.mono = c.seq+1, c.at.Add(time.Minute), c.mono+60e9
	good := evidenceAt(c.t, vectors+"valid/heartbeat.cose").Record
	r := *good
	r.Device, r.Seq, r.Prev, r.UTC = c.dev, c.seq, c.prev, c.at
	r.Mono = sensor.Mono(c.mono)
	r.Body = maps.Clone(good.Body)
	if edit != nil {
		edit(&r)
	}
	s, err := evidence.Seal(&r, signerOf(c.t, c.name))
	if err != nil {
		c.t.Fatal(err)
	}
	c.prev = s.Link
	return s
}

// bundle seals a violation, with the pictures of a vector or others, and returns
// its bundle.
func (c *testChain) bundle(tag string) []byte {
	c.t.Helper()
	whole := bundleAt(c.t, vectors+"valid/violation.zip")
	like := evidenceAt(c.t, vectors+"valid/violation.zip").Record
	b := &evidence.Bundle{Trace: append(bytes.Clone(whole.Trace), tag...)}
	for _, f := range whole.Frames {
		b.Frames = append(b.Frames, append(bytes.Clone(f), tag...))
	}
	s := c.seal(func(r *evidence.Record) {
		mono, utc := r.Mono, r.UTC
		dev, seq, prev := r.Device, r.Seq, r.Prev
		*r = *like
		shift := mono - like.Measurement.Photo
		m, trace := *like.Measurement, *like.Trace
		m.Start, m.End, m.Photo = m.Start+shift, m.End+shift, mono
		trace.First, trace.Last = trace.First+shift, trace.Last+shift
		trace.SHA256, trace.Length = sha256.Sum256(b.Trace), uint32(len(b.Trace))
		r.Measurement, r.Trace, r.Mono, r.UTC, r.Device, r.Seq, r.Prev = &m, &trace, mono, utc, dev, seq, prev
		r.Key.Certificate = evidence.Hash{}
		r.Frames = slices.Clone(like.Frames)
		for i := range r.Frames {
			f := &r.Frames[i]
			f.Mono, f.SHA256, f.Length = f.Mono+shift, sha256.Sum256(b.Frames[i]), uint32(len(b.Frames[i]))
		}
	})
	b.Record = s.Bytes
	var out bytes.Buffer
	if err := evidence.WriteBundle(&out, b); err != nil {
		c.t.Fatal(err)
	}
	return out.Bytes()
}

func bundleAt(t *testing.T, path string) *evidence.Bundle {
	t.Helper()
	b, err := loadBundle(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func evidenceAt(t *testing.T, path string) *evidence.Sealed {
	t.Helper()
	s, err := evidence.Open(bundleAt(t, path).Record)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// put writes files into a new folder.
func put(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// verified runs verify and returns its exit code, its words and its JSON.
func verified(t *testing.T, args ...string) (int, string, []verdictJSON) {
	t.Helper()
	t.Setenv("LC_ALL", "C")
	var words, stderr, object bytes.Buffer
	exit := Main(append([]string{"verify"}, args...), &words, &stderr)
	if again := Main(append([]string{"verify", "--json"}, args...), &object, io.Discard); again != exit {
		t.Errorf("%v: exit %d, with --json %d", args, exit, again)
	}
	var results []verdictJSON
	if object.Len() > 0 {
		if err := json.Unmarshal(object.Bytes(), &results); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Split(strings.TrimSpace(words.String()), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); words.Len() > 0 && !strings.HasPrefix(last, "verdict: ") {
		t.Errorf("%v: the last line is no verdict: %q", args, last)
	}
	return exit, words.String() + stderr.String(), results
}

func TestH06_AFolderIsCheckedAsAChain(t *testing.T) {
	type files = map[string][]byte
	make5 := func(c *testChain, edit func(i int, r *evidence.Record)) files {
		f := files{}
		for i := range 5 {
			f[fmt.Sprintf("%d.cose", i+1)] = c.seal(func(r *evidence.Record) {
				if edit != nil {
					edit(i+1, r)
				}
			}).Bytes
		}
		return f
	}
	boot := func(r *evidence.Record) { r.Boot[0]++ }
	for _, test := range []struct {
		name   string
		edit   func(i int, r *evidence.Record)
		change func(c *testChain, f files)
		want   string // "" for a good chain
	}{
		{"whole", nil, nil, ""},
		{"whole, with the names out of order", nil, func(_ *testChain, f files) {
			f["10.cose"], f["9.cose"] = f["1.cose"], f["2.cose"]
			delete(f, "1.cose")
			delete(f, "2.cose")
		}, ""},
		{"a record is gone", nil, func(_ *testChain, f files) { delete(f, "3.cose") }, "records 3 to 3 are missing"},
		{"two are gone", nil, func(_ *testChain, f files) { delete(f, "3.cose"); delete(f, "4.cose") }, "records 3 to 4 are missing"},
		{"the first is gone", nil, func(_ *testChain, f files) { delete(f, "1.cose") }, "the chain starts with record 2"},
		{"two records with one number", nil, func(c *testChain, f files) {
			other := *c
			other.seq, other.prev = 2, evidenceAt(t, put(t, files{"x": f["2.cose"]})+"/x").Link
			other.at, other.mono = c.at.Add(-3*time.Minute), c.mono-180e9
			f["fork.cose"] = other.seal(func(r *evidence.Record) { r.Body[1] = uint64(0) }).Bytes
		}, "two records have number 3"},
		{"a record that names another before it", func(i int, r *evidence.Record) {
			if i == 4 {
				r.Prev[0] ^= 1
			}
		}, nil, "record 4 names another record before it"},
		{"a year ahead, and back without a step", func(i int, r *evidence.Record) {
			if i == 3 {
				r.UTC = r.UTC.AddDate(1, 0, 0)
			}
		}, nil, "UTC jumped by"},
		{"a year ahead, and back after a start", func(i int, r *evidence.Record) {
			if i >= 3 {
				boot(r)
			}
			if i == 2 {
				r.UTC = r.UTC.AddDate(1, 0, 0)
			}
			if i < 2 {
				r.UTC = r.UTC.AddDate(1, 0, 0)
			}
		}, nil, "both clocks were synchronised"},
		{"back after a start, by a clock that nobody set", func(i int, r *evidence.Record) {
			if i == 3 {
				boot(r)
				r.UTC, r.Clock.Synchronised, r.Clock.LockAge = r.UTC.AddDate(0, 0, -40), false, 0
			}
			if i > 3 {
				r.Boot[0] += 2
			}
		}, nil, ""},
		{"a step that is recorded", func(i int, r *evidence.Record) {
			if i >= 3 {
				r.UTC = r.UTC.Add(time.Hour)
			}
			if i == 3 {
				r.Kind, r.Body = evidence.KindClockStep, evidence.Body{1: int64(time.Hour), 2: "chrony"}
			}
		}, nil, ""},
		{"a step that is recorded as another", func(i int, r *evidence.Record) {
			if i >= 3 {
				r.UTC = r.UTC.Add(time.Hour)
			}
			if i == 3 {
				r.Kind, r.Body = evidence.KindClockStep, evidence.Body{1: int64(time.Minute), 2: "chrony"}
			}
		}, nil, "UTC jumped by"},
		{"made before the one before it", func(i int, r *evidence.Record) {
			if i == 4 {
				r.Mono -= 600e9
				r.UTC = r.UTC.Add(-10 * time.Minute)
			}
		}, nil, "was made before record 3"},
		{"a counter that stands", func(i int, r *evidence.Record) { r.CounterClass, r.CounterValue = 2, 7 }, nil, "hardware counter"},
	} {
		c := newChains(t, "one")[0]
		f := make5(c, test.edit)
		if test.change != nil {
			test.change(c, f)
		}
		exit, words, results := verified(t, "--trust", c.trust, put(t, f))
		last := results[len(results)-1]
		if good := test.want == ""; (exit == 0) != good || last.OK != good || !strings.Contains(words, test.want) || !strings.Contains(last.Line, test.want) {
			t.Errorf("%s: exit %d, %+v\n%s", test.name, exit, last, words)
		}
	}
}

func TestH05_APictureCountsForOneRecord(t *testing.T) {
	chains := newChains(t, "one", "two")
	one, two := chains[0], chains[1]
	a, b, again, foreign := one.bundle("a"), one.bundle("b"), one.bundle("a"), two.bundle("a")
	forged := newChains(t, "stranger")[0].bundle("a")
	for _, test := range []struct {
		name  string
		files map[string][]byte
		bad   []string
		said  string
	}{
		{"each its own", map[string][]byte{"a.zip": a, "b.zip": b}, nil, ""},
		{"the same bundle twice", map[string][]byte{"a.zip": a, "copy.zip": a}, nil, ""},
		{"an earlier event of the same device", map[string][]byte{"a.zip": a, "b.zip": b, "c.zip": again}, []string{"a.zip", "c.zip"}, "Picture 1 is also picture 1 of record 3, epoch 1"},
		{"an event of another device", map[string][]byte{"a.zip": a, "b.zip": foreign}, []string{"a.zip", "b.zip"}, "of device " + two.dev.String()},
		{"a forged record does not spoil a good one", map[string][]byte{"a.zip": a, "b.zip": b, "forged.zip": forged}, []string{"forged.zip"}, ""},
	} {
		dir := put(t, test.files)
		var paths []string
		for name := range test.files {
			paths = append(paths, filepath.Join(dir, name))
		}
		slices.Sort(paths)
		_, words, results := verified(t, append([]string{"--trust", one.trust}, paths...)...)
		var bad []string
		for _, r := range results[:len(paths)] {
			if !r.OK {
				bad = append(bad, filepath.Base(r.Path))
			}
		}
		if !slices.Equal(bad, test.bad) || !strings.Contains(words, test.said) {
			t.Errorf("%s: not good are %v, want %v\n%s", test.name, bad, test.bad, words)
		}
	}
	if exit, _, _ := verified(t, "--trust", one.trust, filepath.Join(put(t, map[string][]byte{"a.zip": a}), "a.zip")); exit != 0 {
		t.Errorf("alone: exit %d", exit)
	}
}

// TestH08_ABatchGoesOnBesideWhatCannotBeRead puts everything into a folder that is
// no evidence, and one record that is.
func TestH08_ABatchGoesOnBesideWhatCannotBeRead(t *testing.T) {
	c := newChains(t, "one")[0]
	good := c.seal(nil).Bytes
	dir := put(t, map[string][]byte{
		"good.cose": good, "broken.cose": good[:100], "unsigned.cose": append(bytes.Clone(good[:len(good)-64]), make([]byte, 64)...),
		"empty.cose": nil, "text.zip": []byte("PK, but not for long"), "notes.txt": []byte("hello"), "turned\u202egpj.cose": good[:50],
		"bundle/record.cose": good, "bundle/frames/1-before.jpg": []byte("x"), "piped/record.cose": good,
	})
	at := func(name string) string { return filepath.Join(dir, name) }
	huge, err := os.Create(at("huge.zip"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := huge.WriteString("PK"); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		huge.Truncate(1 << 40), huge.Close(), syscall.Mkfifo(at("pipe.cose"), 0o600), syscall.Mkfifo(at("pipe"), 0o600),
		os.Symlink("good.cose", at("link.cose")), os.Symlink(dir, at("loop")), os.Mkdir(at("locked"), 0o700),
		os.Remove(at("piped/record.cose")), syscall.Mkfifo(at("piped/record.cose"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	listener, err := net.Listen("unix", at("s.cose"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		exit, words, results := verified(t, "--trust", c.trust, dir, "/dev/zero", at("pipe"))
		verdicts := map[string]string{}
		for _, r := range results {
			verdicts[strings.TrimPrefix(r.Path, dir+"/")] = r.Verdict + " " + r.Checks[0].Words
		}
		for name, want := range map[string]string{
			"good.cose": "good ", "broken.cose": "bad This is not a record", "unsigned.cose": "bad ", "empty.cose": "bad The bundle cannot be read: 0 bytes",
			"text.zip": "bad The bundle cannot be read", "turned\u202egpj.cose": "bad This is not a record", "huge.zip": "bad The bundle cannot be read: bundle: too large",
			"pipe.cose": "bad The bundle cannot be read: not a plain file: a pipe", "pipe": "bad The bundle cannot be read: not a plain file: a pipe",
			"link.cose": "bad The bundle cannot be read: not a plain file: a link", "loop": "bad The bundle cannot be read: not a plain file: a link",
			"s.cose": "bad The bundle cannot be read: not a plain file: a socket", "/dev/zero": "bad The bundle cannot be read: not a plain file: a device",
			"bundle": "bad ", "piped": "bad The bundle cannot be read: bundle: record.cose: not a plain file: a pipe",
		} {
			if !strings.HasPrefix(verdicts[name], want) {
				t.Errorf("%q: %q, want %q", name, verdicts[name], want)
			}
		}
		if exit != 1 || !slices.Equal(results[len(results)-1].Foreign, []string{at("notes.txt")}) || strings.Contains(words, "\u202e") {
			t.Errorf("exit %d\n%s", exit, words)
		}
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("verify hangs")
	}
}

// repack packs the files of a bundle again, as a file manager does.
func repack(t *testing.T, bundle, folder string, more ...string) []byte {
	t.Helper()
	r, err := zip.OpenReader(bundle)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	add := func(name string, data []byte) {
		f, err := w.CreateHeader(&zip.FileHeader{Name: folder + name, Method: zip.Deflate, Modified: time.Now(), Comment: "x"})
		if err == nil {
			_, err = f.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"", "frames/"} {
		if folder+name != "" {
			if _, err := w.Create(folder + name); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, f := range slices.Backward(r.File) {
		data, err := r.Open(f.Name)
		if err != nil {
			t.Fatal(err)
		}
		bytes, err := io.ReadAll(data)
		if err != nil {
			t.Fatal(err)
		}
		add(f.Name, bytes)
	}
	for _, name := range more {
		add(name, []byte("left behind"))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestD18_EvidenceIsJudgedByItsMembers(t *testing.T) {
	left := []string{"Thumbs.db", ".DS_Store", "desktop.ini", "frames/Thumbs.db", "__MACOSX/._frames"}
	folder := unzip(t, vectors+"valid/violation.zip")
	for _, name := range left {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("left behind"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dir := put(t, map[string][]byte{
		"packed.zip": repack(t, vectors+"valid/violation.zip", ""), "left.zip": repack(t, vectors+"valid/violation.zip", "", left...),
		"folder.zip": repack(t, vectors+"valid/violation.zip", "Case 42/", left...), "changed.zip": repack(t, vectors+"invalid/frame-changed.zip", "Case 42/"),
	})
	for _, test := range []struct {
		path    string
		exit    int
		foreign bool
	}{
		{folder, 0, true}, {filepath.Join(dir, "packed.zip"), 0, false}, {filepath.Join(dir, "left.zip"), 0, true},
		{filepath.Join(dir, "folder.zip"), 0, true}, {filepath.Join(dir, "changed.zip"), 1, false},
	} {
		exit, words, results := verified(t, "--trust", vectors+"trust.pem", test.path)
		i := slices.IndexFunc(results[0].Checks, func(c checkJSON) bool { return c.Name == "archive" })
		archive := results[0].Checks[i]
		if exit != test.exit || archive.Status != evidence.NotChecked || !strings.Contains(archive.Words, "Not the original archive") {
			t.Errorf("%s: exit %d, %+v\n%s", test.path, exit, archive, words)
		}
		for _, name := range left {
			if test.path == folder {
				name = strings.TrimSuffix(name, "._frames") // of a folder that is no member its name alone is told
			}
			if test.foreign != strings.Contains(archive.Words, name) {
				t.Errorf("%s: %q told: %v", test.path, name, archive.Words)
			}
		}
	}
}

func TestD22_TheLikelyCauseComesFirst(t *testing.T) {
	dir := put(t, map[string][]byte{"cut.zip": read(t, vectors+"valid/violation.zip")[:5000]})
	for _, test := range []struct{ trust, path, want string }{
		{"trust-of-another-root.pem", vectors + "valid/violation.zip", "verdict: Do not rely on this evidence. The trust file is of another authority, or older than the device"},
		{"trust.pem", vectors + "invalid/frame-changed.zip", "verdict: Do not rely on this evidence. Picture 2"},
		{"trust.pem", vectors + "valid/violation.cose", "verdict: Not everything could be checked. The 3 pictures are not here."},
		{"trust.pem", filepath.Join(dir, "cut.zip"), "verdict: Do not rely on this evidence. The bundle cannot be read: bundle: zip: ends too early: there is no directory at its end"},
		{"trust.pem", vectors + "valid/violation.zip", "verdict: This evidence is genuine and complete."},
		{"trust.pem", vectors + "valid/test.zip", "verdict: TEST, not evidence of a violation. The record is genuine."},
	} {
		_, words, _ := verified(t, "--trust", vectors+test.trust, test.path)
		if !strings.Contains(words, test.want) {
			t.Errorf("%s: no %q in\n%s", test.path, test.want, words)
		}
	}
}

func TestH14_ThePageIsNotPartOfWhatWasChecked(t *testing.T) {
	_, words, _ := verified(t, "--trust", vectors+"trust.pem", vectors+"valid/zip-other-page.zip")
	if !strings.Contains(words, "this page is not part of what was checked") || !strings.Contains(words, "take the page from the authority") {
		t.Error(words)
	}
}

// TestVerifySpeaksThreeLanguages asks for each language, by flag and by environment:
// codes and arguments stay the same.
func TestVerifySpeaksThreeLanguages(t *testing.T) {
	file := vectors + "invalid/another-target.zip"
	_, _, english := verified(t, "--trust", vectors+"trust.pem", file)
	for _, test := range []struct {
		locale string
		args   []string
		want   []string
	}{
		{"C", nil, []string{"  verdict: Do not rely on this evidence. The speed may be another vehicle's: 1 other vehicle was in the beam", "fail         targets ", "63.05 km/h"}},
		{"it_IT.UTF-8", nil, []string{"  esito: Non fare affidamento su questa prova. La velocità può essere di un altro veicolo", "FALLITA      altri veicoli", "63,05 km/h", "misurata"}},
		{"fr_FR.UTF-8", nil, []string{"  verdict: Do not rely"}},
		{"it_IT.UTF-8", []string{"--lang", "de"}, []string{"  Ergebnis: Auf dieses Beweismittel ist kein Verlass. Die Geschwindigkeit kann die eines anderen Fahrzeugs sein", "63,05 km/h", "gemessen"}},
	} {
		t.Setenv("LC_ALL", test.locale)
		var stdout, object bytes.Buffer
		args := append([]string{"verify", "--trust", vectors + "trust.pem", file}, test.args...)
		if exit := Main(args, &stdout, io.Discard); exit != 1 {
			t.Errorf("%s %v: exit %d", test.locale, test.args, exit)
		}
		for _, want := range test.want {
			if !strings.Contains(stdout.String(), want) {
				t.Errorf("%s %v: no %q in\n%s", test.locale, test.args, want, stdout.Bytes())
			}
		}
		var results []verdictJSON
		Main(append(args, "--json"), &object, io.Discard)
		if err := json.Unmarshal(object.Bytes(), &results); err != nil || len(results) != 1 {
			t.Fatal(err)
		}
		for i, c := range results[0].Checks {
			e := english[0].Checks[i]
			if c.Name != e.Name || c.Status != e.Status || !reflect.DeepEqual(c.Said, e.Said) {
				t.Errorf("%s %v: %+v, in English %+v", test.locale, test.args, c, e)
			}
		}
	}
	if exit := Main([]string{"verify", "--lang", "fr", file}, io.Discard, io.Discard); exit != 2 {
		t.Errorf("--lang fr: exit %d", exit)
	}
}
