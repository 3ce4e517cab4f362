package evidence

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func TestBundleRoundTrips(t *testing.T) {
	want := bundleOf(t, violation(t), "device")
	var first, second bytes.Buffer
	if err := errors.Join(WriteBundle(&first, want), WriteBundle(&second, want)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the same bundle gave other bytes")
	}
	got, err := ReadBundle(bytes.NewReader(first.Bytes()), int64(first.Len()))
	if err != nil || !reflect.DeepEqual(got.Archive, &Archive{Page: page}) {
		t.Errorf("%v: %+v", err, got)
	}
	if got.Archive = nil; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	least := &Bundle{Record: must(Seal(ofKind(t, KindShutdown), testSigner(t, "device")))(t).Bytes}
	first.Reset()
	if err := WriteBundle(&first, least); err != nil {
		t.Fatal(err)
	}
	if got, err = ReadBundle(bytes.NewReader(first.Bytes()), int64(first.Len())); err != nil || !bytes.Equal(got.Record, least.Record) || got.Frames != nil || got.Trace != nil {
		t.Errorf("%v: %+v\nwant %+v", err, got, least)
	}
}

// TestOthersReadOurZip shows that a bundle is an ordinary zip, with the page.
func TestOthersReadOurZip(t *testing.T) {
	b := bundleOf(t, violation(t), "device")
	var out bytes.Buffer
	if err := WriteBundle(&out, b); err != nil {
		t.Fatal(err)
	}
	r := must(zip.NewReader(bytes.NewReader(out.Bytes()), int64(out.Len())))(t)
	var names []string
	for _, f := range r.File {
		names = append(names, f.Name)
		data := must(io.ReadAll(must(f.Open())(t)))(t)
		if f.Name == namePage && !bytes.Equal(data, page) || f.Name == nameRecord && !bytes.Equal(data, b.Record) {
			t.Errorf("%s: other bytes", f.Name)
		}
	}
	want := "record.cose frames/1-before.jpg frames/2-photo.jpg frames/3-after.jpg trace.wav device.crt " +
		"calibration.txt configuration.txt receipt.cose log.cbor verify.html"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("files %s\nwant  %s", got, want)
	}
}

func TestWriteBundleRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*Bundle){
		"no record":         func(b *Bundle) { b.Record = nil },
		"a damaged record":  func(b *Bundle) { b.Record = b.Record[1:] },
		"too many frames":   func(b *Bundle) { b.Frames = append(b.Frames, b.Frames[0]) },
		"a large receipt":   func(b *Bundle) { b.Receipt = make([]byte, MaxReceipt+1) },
		"a large statement": func(b *Bundle) { b.Calibration = make([]byte, MaxStatement+1) },
	} {
		b := bundleOf(t, violation(t), "device")
		if spoil(b); WriteBundle(io.Discard, b) == nil {
			t.Errorf("%s: was written", name)
		}
	}
	heartbeat := bundleOf(t, ofKind(t, KindHeartbeat), "device")
	heartbeat.Trace = []byte("foreign")
	if WriteBundle(io.Discard, heartbeat) == nil {
		t.Error("a trace that no record names was written")
	}
}

// folderOf returns a bundle as a folder.
func folderOf(t testing.TB, b *Bundle) fstest.MapFS {
	folder := fstest.MapFS{}
	for _, f := range filesOf(t, b) {
		folder[f.name] = &fstest.MapFile{Data: f.data}
	}
	return folder
}

func TestFolder(t *testing.T) {
	want := bundleOf(t, violation(t), "device")
	for _, test := range []struct {
		name   string
		change func(fstest.MapFS)
		err    string // "": reads
	}{
		{"whole", func(fstest.MapFS) {}, ""},
		{"with a file that a desktop left", func(f fstest.MapFS) { f[".DS_Store"] = &fstest.MapFile{Data: []byte("x")} }, ""},
		{"with the page", func(f fstest.MapFS) { f[namePage] = &fstest.MapFile{Data: []byte("x")} }, ""},
		{"with a foreign file", func(f fstest.MapFS) { f["notes.txt"] = &fstest.MapFile{Data: []byte("x")} }, ""},
		{"with a foreign picture", func(f fstest.MapFS) { f["frames/9-photo.jpg"] = &fstest.MapFile{Data: []byte("x")} }, ""},
		{"with a foreign folder", func(f fstest.MapFS) { f["more/x"] = &fstest.MapFile{Data: []byte("x")} }, ""},
		{"with a pipe that nobody asked for", func(f fstest.MapFS) { f["pipe"] = &fstest.MapFile{Mode: fs.ModeNamedPipe} }, ""},
		{"with a pipe for a picture", func(f fstest.MapFS) { f["frames/1-before.jpg"] = &fstest.MapFile{Mode: fs.ModeNamedPipe} }, "not a plain file: a pipe"},
		{"with a link for a record", func(f fstest.MapFS) { f[nameRecord] = &fstest.MapFile{Mode: fs.ModeSymlink, Data: []byte("elsewhere")} }, "not a plain file: a link"},
		{"with a device for a trace", func(f fstest.MapFS) { f["trace.wav"] = &fstest.MapFile{Mode: fs.ModeDevice} }, "not a plain file: a device"},
		{"with two pictures in one place", func(f fstest.MapFS) { f["frames/1-after.jpg"] = f["frames/1-before.jpg"] }, "another file stands in its place"},
		{"with an empty picture", func(f fstest.MapFS) { f["frames/1-before.jpg"].Data = nil }, "want 1 to"},
		{"with a record that is too large", func(f fstest.MapFS) { f[nameRecord].Data = make([]byte, MaxRecord+1) }, "want 1 to"},
		{"with a folder for a record", func(f fstest.MapFS) { f[nameRecord].Mode = fs.ModeDir }, "not a plain file"},
		{"without record", func(f fstest.MapFS) { delete(f, nameRecord) }, "missing"},
	} {
		folder := folderOf(t, want)
		test.change(folder)
		got, err := ReadFolder(folder)
		if err == nil {
			got.Archive = nil
		}
		if test.err == "" && (err != nil || !reflect.DeepEqual(got, want)) || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%s: %v, want %q", test.name, err, test.err)
		}
	}
	alone := must(ReadFolder(fstest.MapFS{nameRecord: {Data: want.Record}}))(t)
	if !reflect.DeepEqual(alone, &Bundle{Record: want.Record, Archive: &Archive{Changed: "a folder"}}) {
		t.Errorf("a record alone: %+v", alone)
	}
}

// TestZipClaimsCostNothing shows that what a zip claims is not believed before
// it is there.
func TestZipClaimsCostNothing(t *testing.T) {
	e := zipEntry{name: "record.cose", size: MaxRecord}
	trace := zipEntry{name: "trace.wav", size: MaxTrace}
	for _, b := range [][]byte{e.local(), trace.local()} {
		if _, err := ReadBundle(bytes.NewReader(b), int64(len(b))); !errors.Is(err, ErrTruncated) {
			t.Errorf("%q: %v, want %v", b, err, ErrTruncated)
		}
	}
	if _, err := ReadBundle(bytes.NewReader(nil), MaxBundle+1); !errors.Is(err, ErrTooLarge) {
		t.Errorf("error %v, want %v", err, ErrTooLarge)
	}
}

func TestVerdictNeedsEveryMandatoryCheck(t *testing.T) {
	for _, test := range []struct {
		name   string
		checks []Check
		want   bool
	}{
		{"nothing was asked", nil, false},
		{"all passed", []Check{{Status: Pass, Mandatory: true}}, true},
		{"an optional one is not checked", []Check{{Status: Pass, Mandatory: true}, {}}, true},
		{"a mandatory one is not checked", []Check{{Status: Pass, Mandatory: true}, {Mandatory: true}}, false},
		{"an optional one failed", []Check{{Status: Pass, Mandatory: true}, {Status: Fail}}, false},
	} {
		if got := (Verdict{Checks: test.checks}).OK(); got != test.want {
			t.Errorf("%s: OK = %v", test.name, got)
		}
	}
}

// TestTestIsNeverEvidence shows the words that everyone sees on a test.
func TestTestIsNeverEvidence(t *testing.T) {
	trust := must(ParseTrust(trustFiles(t)["trust.pem"]))(t)
	verdict := Verify(bundleOf(t, ofKind(t, KindTest), "device"), trust)
	i := slices.IndexFunc(verdict.Checks, func(c Check) bool { return c.Name == "kind" })
	if words := verdict.Checks[i].Words(); !verdict.OK() || !strings.HasPrefix(words, "TEST, not evidence of a violation") {
		t.Errorf("OK = %v, %q", verdict.OK(), words)
	}
}

func TestTrustNamesRegisterAndRoot(t *testing.T) {
	trust := must(ParseTrust(trustFiles(t)["trust.pem"]))(t)
	root := must(KeyID(&testKey(t, "root").PublicKey))(t)
	if trust.Root() != root || trust.Register().Register.Sequence != 12 || len(trust.Register().Register.Entries) != 6 {
		t.Errorf("root %v, register %+v", trust.Root(), trust.Register().Register)
	}
}

func TestKeyValidityIncludesBothEnds(t *testing.T) {
	trust := must(ParseTrust(trustFiles(t)["trust.pem"]))(t)
	kid := must(KeyID(&testKey(t, "device").PublicKey))(t)
	e := entry(t, RoleDevice, testDevice, 1, "device")
	for _, test := range []struct {
		name string
		off  int64 // seconds from NotBefore, or from NotAfter when end is true
		end  bool
		good bool
	}{
		{"a second before", -1, false, false},
		{"the first second", 0, false, true},
		{"the last second", 0, true, true},
		{"a second after", 1, true, false},
	} {
		at := e.NotBefore
		if test.end {
			at = e.NotAfter
		}
		_, _, err := trust.DeviceKey(testDevice, 1, kid, at.Add(time.Duration(test.off)*time.Second))
		if (err == nil) != test.good {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}
