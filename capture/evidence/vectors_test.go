package evidence

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files of testdata")

// A vector is one file that every verifier must judge alike. testdata/vectors.json
// lists them all.
type vector struct {
	Name  string `json:"name"`
	Why   string `json:"why"`
	File  string `json:"file"`            // a record (.cose) or a bundle (.zip)
	Trust string `json:"trust,omitempty"` // trust file; without it nothing is trusted
	OK    bool   `json:"ok"`
	// Verdict is the verdict in one word: good, test, bad or open.
	Verdict string `json:"verdict"`
	// Fails names the check that fails first, or the mandatory one that is not
	// checked when none fails.
	Fails string `json:"fails,omitempty"`
	// Error is part of what our own words say about it.
	Error  string      `json:"error,omitempty"`
	Checks [][2]string `json:"checks"` // name and status of every check, in order

	data []byte
}

// vectors returns every vector with its data but without its checks.
func vectors(t testing.TB) []vector {
	var all []vector
	add := func(name, why, ext string, data []byte, trust, fails, words string) {
		dir := "invalid"
		if fails == "" {
			dir = "valid"
		}
		all = append(all, vector{Name: name, Why: why, File: dir + "/" + name + ext, Trust: trust,
			OK: fails == "", Fails: fails, Error: words, data: data})
	}
	const trust = "trust.pem"

	for k, body := range bodies() {
		if !k.Measured() {
			r := ofKind(t, k)
			r.Body = body
			s := must(Seal(r, testSigner(t, "device")))(t)
			add(strings.ReplaceAll(k.String(), " ", "-"), "a record of kind "+k.String(), ".cose", s.Bytes, trust, "", "")
		}
	}
	slices.SortFunc(all, func(a, b vector) int { return strings.Compare(a.Name, b.Name) })
	for _, v := range acts() {
		r := ofKind(t, v.kind)
		r.Body = r.Body.WithAct(&v.act)
		add(v.name, v.why, ".cose", must(Seal(r, testSigner(t, "device")))(t).Bytes, trust, "", "")
	}
	record := must(Seal(violation(t), testSigner(t, "device")))(t).Bytes
	add("record-alone", "without its pictures a record is not whole evidence", ".cose", record, trust, "frames", "not here")
	all[len(all)-1].File = "valid/violation.cose" // nothing is wrong with it
	add("no-trust", "without a trust file nothing says whose key it is", ".cose", record, "", "device key", "")

	for _, v := range spoiledPayloads() {
		add(v.name, v.why, ".cose", spoilPayload(t, v), trust, "format", v.err.Error())
	}
	for _, v := range spoiledMessages(t) {
		add(v.name, v.why, ".cose", spoilMessage(t, v), trust, "format", v.err.Error())
	}
	for _, v := range []struct {
		name, why string
		data      []byte
		err       error
	}{
		{"tag-missing", "a COSE_Sign1 without tag 18", record[1:], ErrHeader},
		{"tag-98", "the tag of COSE_Sign", append([]byte{0xd8, 98}, record[1:]...), ErrHeader},
		{"tag-not-minimal", "tag 18 written in two bytes", append([]byte{0xd8, 18}, record[1:]...), ErrHeader},
		{"tag-twice", "tag 18 around tag 18", append([]byte{0xd2}, record...), ErrHeader},
		{"message-trailing", "a byte after the record", append(bytes.Clone(record), 0), ErrTrailing},
		{"message-truncated", "the record lacks its last byte", record[:len(record)-1], ErrTruncated},
		{"message-empty", "a file of one byte", []byte{0xd2}, ErrHeader},
		{"not-cbor", "a text", []byte("speed: 20 km/h\n"), ErrHeader},
	} {
		add(v.name, v.why, ".cose", v.data, trust, "format", v.err.Error())
	}
	for _, v := range bundleVectors(t) {
		if v.trust == "" {
			v.trust = trust
		}
		add(v.name, v.why, ".zip", v.data, v.trust, v.fails, v.words)
	}
	return all
}

// trustFiles returns every trust file by its name.
func trustFiles(t testing.TB) map[string][]byte {
	root := testKey(t, "root")
	trust := func(r *Register, signer string) []byte {
		return EncodeTrust(&root.PublicKey, must(SealRegister(r, testSigner(t, signer)))(t).Bytes)
	}
	good := trust(testRegister(t), "root")
	older := testRegister(t)
	older.Sequence, older.Entries = 11, older.Entries[4:]
	officers := testRegister(t)
	officers.Entries = append(officers.Entries, entry(t, RoleOfficer, DeviceID{}, 0, "officer"), entry(t, RoleOfficer, DeviceID{}, 0, "another officer"))
	tree := parseTree(t, must(encode((&Register{Sequence: 1, Issued: testTime, Entries: testRegister(t).Entries[:1]}).fields))(t))
	tree.at(4, 0, 1).n = 4
	unknownRole := tree.bytes()
	another, foreign := testKey(t, "another root"), &Register{Sequence: 1, Issued: testTime}
	foreign.Entries = []RegisterEntry{entry(t, RoleDevice, otherDevice, 1, "stranger")}
	// A register that SealRegister would not write.
	unsorted := testRegister(t)
	slices.Reverse(unsorted.Entries)
	payload := must(encode(func(f *form) {
		f.constant(1, "v", 1)
		f.constant(2, "sequence", 12)
		f.instant(3, "issued", &unsorted.Issued, 1e9)
		f.key(4, "entries")
		list(f, "entries", &unsorted.Entries, 0, 9, func(e *RegisterEntry, f *form) { f.mapping(e.fields) })
	}))(t)
	// Registers that the root has signed, and that name a key for what it is not.
	raw := func(signer string, entries ...RegisterEntry) []byte {
		r := &Register{Sequence: 13, Issued: testTime, Entries: entries}
		payload := must(encode(func(f *form) {
			f.constant(1, "v", 1)
			integer(f, 2, "sequence", &r.Sequence, 1, 99)
			f.instant(3, "issued", &r.Issued, 1e9)
			f.key(4, "entries")
			list(f, "entries", &r.Entries, 0, 9, func(e *RegisterEntry, f *form) { f.mapping(e.fields) })
		}))(t)
		return EncodeTrust(&root.PublicKey, must(SealMessage(ContentTypeRegister, payload, testSigner(t, signer)))(t))
	}
	unsortedBytes := must(SealMessage(ContentTypeRegister, payload, testSigner(t, "root")))(t)
	opened := must(ParseTrust(good))(t)
	changed := bytes.Clone(opened.Register().Bytes)
	changed[len(changed)-90] ^= 1 // in the payload's last bytes
	return map[string][]byte{
		"trust.pem":                  good,
		"trust-crlf.pem":             bytes.ReplaceAll(good, []byte("\n"), []byte("\r\n")),
		"trust-older.pem":            trust(older, "root"),
		"trust-officer.pem":          trust(officers, "root"),
		"trust-officer-epoch.pem":    raw("root", entry(t, RoleOfficer, DeviceID{}, 1, "officer")),
		"trust-officer-first.pem":    raw("root", entry(t, RoleOfficer, DeviceID{}, 0, "officer"), entry(t, RoleCentre, DeviceID{}, 0, "centre")),
		"trust-unknown-role.pem":     EncodeTrust(&root.PublicKey, must(SealMessage(ContentTypeRegister, unknownRole, testSigner(t, "root")))(t)),
		"trust-of-another-root.pem":  EncodeTrust(&another.PublicKey, must(SealRegister(foreign, testSigner(t, "another root")))(t).Bytes),
		"trust-mismatched-root.pem":  trust(testRegister(t), "another root"),
		"trust-signed-by-device.pem": raw("device", testRegister(t).Entries...),
		"trust-changed.pem":          EncodeTrust(&root.PublicKey, changed),
		"trust-unsorted.pem":         EncodeTrust(&root.PublicKey, unsortedBytes),
		"trust-root-as-device.pem":   raw("root", entry(t, RoleDevice, testDevice, 1, "root")),
		"trust-root-as-centre.pem":   raw("root", entry(t, RoleDevice, testDevice, 1, "device"), entry(t, RoleCentre, DeviceID{}, 0, "root")),
		"trust-centre-as-device.pem": raw("root", entry(t, RoleDevice, testDevice, 1, "centre"), entry(t, RoleCentre, DeviceID{}, 0, "centre")),
		"trust-text-before.pem":      append([]byte("trust me\n"), good...),
		"trust-two-roots.pem":        append(bytes.Clone(good[:bytes.Index(good, []byte("-----BEGIN CIGLIO DEVICE"))]), good...),
		"trust-without-register.pem": good[:bytes.Index(good, []byte("-----BEGIN CIGLIO DEVICE"))],
		"trust-empty.pem":            []byte("\n"),
	}
}

// judge is our own verdict on a vector, from the bytes of its files.
func judge(data, trust []byte) Verdict {
	var t *Trust
	if trust != nil {
		var err error
		if t, err = ParseTrust(trust); err != nil {
			return Untrusted(err)
		}
	}
	b := &Bundle{Record: data}
	if bytes.HasPrefix(data, []byte("PK")) {
		var err error
		if b, err = ReadBundle(bytes.NewReader(data), int64(len(data))); err != nil {
			return Unreadable(err)
		}
	}
	return Verify(b, t)
}

// outcome is what all verifiers must agree on.
func outcome(v Verdict) [][2]string {
	var all [][2]string
	for _, c := range v.Checks {
		all = append(all, [2]string{c.Name, c.Status.String()})
	}
	return all
}

// TestVectors builds every vector, compares it with its file in testdata, and
// judges it.
func TestVectors(t *testing.T) {
	trusts := trustFiles(t)
	all := vectors(t)
	for i := range all {
		v := &all[i]
		verdict := judge(v.data, trusts[v.Trust])
		v.Checks, v.Verdict = outcome(verdict), verdict.Word()
		if verdict.OK() != v.OK {
			t.Errorf("%s: OK = %v, want %v: %+v", v.Name, verdict.OK(), v.OK, verdict.Checks)
		}
		if fails, words := firstFault(verdict); fails != v.Fails || !strings.Contains(words, v.Error) {
			t.Errorf("%s: %q fails: %q, want %q: %q", v.Name, fails, words, v.Fails, v.Error)
		}
	}
	index := append(must(json.MarshalIndent(all, "", "  "))(t), '\n')
	files := map[string][]byte{"vectors.json": index}
	for name, data := range trusts {
		files[name] = data
	}
	for _, v := range all {
		if files[v.File] != nil {
			t.Errorf("two vectors have the name %s", v.Name)
		}
		files[v.File] = v.data
	}
	golden(t, files)
}

// firstFault returns the first check that fails, or else the first mandatory one
// that was not checked.
func firstFault(v Verdict) (name, words string) {
	for _, status := range []Status{Fail, NotChecked} {
		for _, c := range v.Checks {
			if c.Status == status && (status == Fail || c.Mandatory) {
				return c.Name, c.Words()
			}
		}
	}
	return "", ""
}

// golden compares files with those of testdata, or rewrites them with -update.
func golden(t *testing.T, files map[string][]byte) {
	t.Helper()
	if *update {
		for _, dir := range []string{"valid", "invalid"} {
			os.RemoveAll(filepath.Join("testdata", dir))
			must(0, os.MkdirAll(filepath.Join("testdata", dir), 0o755))(t)
		}
	}
	for name, data := range files {
		path := filepath.Join("testdata", filepath.FromSlash(name))
		if *update {
			must(0, os.WriteFile(path, data, 0o644))(t)
		}
		if old, err := os.ReadFile(path); err != nil || !bytes.Equal(old, data) {
			t.Errorf("%s: differs from what the code makes (%v); look at it, then run with -update", path, err)
		}
	}
}
