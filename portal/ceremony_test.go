package portal

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"ciglio/capture/evidence"
	"ciglio/portal/ca"
	"ciglio/portal/keys"
	"ciglio/portal/portaltest"
	"ciglio/portal/register"
	"ciglio/uplink/wire"
)

// A ceremony is a centre, and a root on another machine.
type ceremony struct {
	*testing.T
	dir  string
	root *keys.Key
}

func newCeremony(t *testing.T) *ceremony {
	t.Helper()
	root, err := keys.Generate()
	if err != nil {
		t.Fatal(err)
	}
	c := &ceremony{t, filepath.Join(t.TempDir(), "centre"), root}
	r, err := InitForRoot(c.dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.answer(r); err != nil {
		t.Fatal(err)
	}
	return c
}

// sign is the way of a request to the root and back.
func (c *ceremony) sign(r *Request) (request, answer []byte) {
	c.Helper()
	text, err := r.encode()
	if err != nil {
		c.Fatal(err)
	}
	signed, err := SignRequest(c.root, text, requestHash(text), time.Now())
	if err != nil {
		c.Fatal(err)
	}
	return text, signed
}

func (c *ceremony) answer(r *Request) error {
	c.Helper()
	request, answer := c.sign(r)
	return Install(c.dir, request, answer)
}

func (c *ceremony) request(o RequestOptions) *Request {
	c.Helper()
	r, err := NewRequest(c.dir, o, time.Now())
	if err != nil {
		c.Fatal(err)
	}
	return r
}

func (c *ceremony) trust() *evidence.Trust {
	c.Helper()
	f, err := register.Open(c.dir)
	if err != nil {
		c.Fatal(err)
	}
	return f.Trust()
}

func TestTheRootEntersWhatDevicesBring(t *testing.T) {
	c := newCeremony(t)
	d := portaltest.NewDevice(t, "one")
	text := d.Request(t)
	for name, bad := range map[string][]byte{
		"nothing": nil, "another's": portaltest.NewDevice(t, "other").Request(t), "its certificate alone": certificatePEM(d.Certificate), "half of it": text[:100], "twice": append(bytes.Clone(text), text...),
	} {
		if err := (proposals{c.dir}).put(d.ID, bad); !errors.Is(err, ca.ErrRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewRequest(c.dir, RequestOptions{}, time.Now()); err == nil {
		t.Error("a request for nothing")
	}
	for range 2 { // it may bring it twice
		if err := (proposals{c.dir}).put(d.ID, text); err != nil {
			t.Fatal(err)
		}
	}
	r := c.request(RequestOptions{})
	if !strings.Contains(r.String(), d.ID.String()+" epoch 1,") {
		t.Errorf("the people who decide see %s", r)
	}
	request, answer := c.sign(r)
	for range 2 { // what a power cut left is done again
		if err := Install(c.dir, request, answer); err != nil {
			t.Fatal(err)
		}
	}
	if e := c.trust().Register().Register.Entries; len(e) != 2 || e[0].Device != d.ID && e[1].Device != d.ID {
		t.Errorf("entered %+v", e)
	}
	if all, err := (proposals{c.dir}).all(); err != nil || len(all) != 0 {
		t.Errorf("still wait: %v, %v", all, err)
	}
	f, err := register.Open(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range f.Trust().Register().Register.Entries {
		if e.Role == evidence.RoleDevice && !bytes.Equal(f.Certificate(e.Certificate), d.Certificate.Raw) {
			t.Error("its certificate is not kept")
		}
	}
	if err := c.answer(c.request(RequestOptions{RevokeDevice: []evidence.DeviceID{d.ID}})); err != nil {
		t.Fatal(err)
	}
	for _, e := range c.trust().Register().Register.Entries {
		if (e.Revoked != nil) != (e.Role == evidence.RoleDevice) {
			t.Errorf("after the revocation: %+v", e)
		}
	}
}

// successor is the request of a further evidence key of a device, which change,
// given its key id, has named; nil for none.
func successor(t *testing.T, d *portaltest.Device, epoch uint64, change func(kid evidence.Hash) []byte) *wire.SealedRequest {
	t.Helper()
	var own [2]*ecdsa.PrivateKey
	for i := range own {
		var err error
		if own[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	signer, err := evidence.NewSigner(own[0])
	if err != nil {
		t.Fatal(err)
	}
	name := pkix.Name{CommonName: d.ID.String()}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: name, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, own[0].Public(), own[0])
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: name}, own[1])
	if err != nil {
		t.Fatal(err)
	}
	r := &wire.Request{Device: d.ID, Epoch: epoch, Class: "file", Certificate: certificate, TLS: csr}
	if change != nil {
		r.Change = change(signer.KeyID())
	}
	sealed, err := wire.SealRequest(r, signer)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// TestTheRootSeesWhoNamedAKey has somebody bring a further key of a device, and wants
// the people at the root to see whether the device's key before has named it.
func TestTheRootSeesWhoNamedAKey(t *testing.T) {
	c := newCeremony(t)
	d, thief := portaltest.NewDevice(t, "one"), portaltest.NewDevice(t, "thief")
	thief.ID = d.ID
	waiting := proposals{c.dir}
	if err := waiting.put(d.ID, d.Request(t)); err != nil {
		t.Fatal(err)
	}
	if first := c.request(RequestOptions{}); !strings.Contains(first.String(), "first key") {
		t.Errorf("the first: %s", first)
	}
	if err := c.answer(c.request(RequestOptions{})); err != nil {
		t.Fatal(err)
	}
	named := func(by *portaltest.Device) func(evidence.Hash) []byte {
		return func(kid evidence.Hash) []byte {
			return by.Seal(t, func(r *evidence.Record) { r.Kind, r.Body = evidence.KindKeyChange, evidence.Body{1: kid[:]} }).Bytes
		}
	}
	for _, row := range []struct {
		name   string
		change func(evidence.Hash) []byte
		want   string
	}{
		{"by nobody", nil, "NOT NAMED by a key that the device had before"},
		{"by a key of nobody's", named(thief), "NOT NAMED by a key that the device had before"},
		{"by the key before", named(d), "named by the device's key of epoch 1"},
	} {
		brought := successor(t, d, 2, row.change)
		if err := waiting.put(d.ID, brought.Bytes); err != nil {
			t.Fatal(err)
		}
		text, err := c.request(RequestOptions{}).encode()
		if err != nil {
			t.Fatal(err)
		}
		there, err := ParseRequest(text) // as it comes to the root
		if err != nil {
			t.Fatal(err)
		}
		if words := there.String(); !strings.Contains(words, "  "+row.want) || !strings.Contains(words, brought.Fingerprint.String()) {
			t.Errorf("named %s: the root sees\n%s", row.name, words)
		}
		there.Add[0].Epoch++
		if _, _, err := there.next(time.Now()); err == nil {
			t.Errorf("named %s: entered under an epoch that the device has not brought", row.name)
		}
	}
}

// TestOneDeviceKeepsNoOtherWaiting has a device bring what cannot be entered: an
// epoch that is another key's, and, by an answer that was lost, a key that is.
func TestOneDeviceKeepsNoOtherWaiting(t *testing.T) {
	c := newCeremony(t)
	d, other := portaltest.NewDevice(t, "one"), portaltest.NewDevice(t, "other")
	waiting := proposals{c.dir}
	if err := waiting.put(d.ID, d.Request(t)); err != nil {
		t.Fatal(err)
	}
	request, answer := c.sign(c.request(RequestOptions{}))
	later := successor(t, d, 2, nil)
	if err := waiting.put(d.ID, later.Bytes); err != nil {
		t.Fatal(err)
	}
	if err := Install(c.dir, request, answer); err != nil {
		t.Fatal(err)
	}
	if got, err := waiting.get(d.ID); err != nil || got.KeyID != later.KeyID {
		t.Errorf("what it brought while the root was away: %v", err)
	}
	if err := waiting.put(d.ID, successor(t, d, 1, nil).Bytes); err != nil {
		t.Fatal(err)
	}
	if err := waiting.put(other.ID, other.Request(t)); err != nil {
		t.Fatal(err)
	}
	r := c.request(RequestOptions{})
	if words := r.String(); len(r.Add) != 1 || r.Add[0].Device != other.ID.String() || !strings.Contains(words, "left out: device "+d.ID.String()) {
		t.Errorf("asked for: %s", words)
	}
	if err := c.answer(r); err != nil {
		t.Fatal(err)
	}
	if err := waiting.drop(d.ID); err != nil {
		t.Fatal(err)
	}
	if err := waiting.put(d.ID, d.Request(t)); err != nil { // again: it is entered
		t.Fatal(err)
	}
	if all, err := waiting.all(); err != nil || len(all) != 0 {
		t.Errorf("still wait: %v, %v", all, err)
	}
}

func TestAnswersAreRefused(t *testing.T) {
	c, others := newCeremony(t), newCeremony(t)
	one, two := portaltest.NewDevice(t, "one").Certificate, portaltest.NewDevice(t, "two").Certificate
	adding := func(x *x509.Certificate) RequestOptions { return RequestOptions{Certificates: []*x509.Certificate{x}} }
	first, firstAnswer := c.sign(c.request(adding(one)))
	second, secondAnswer := c.sign(c.request(adding(two))) // of the same issue
	_, foreign := others.sign(others.request(adding(one)))
	next := c.trust().Register().Register
	dropped, err := register.Sign(&evidence.Register{Sequence: next.Sequence + 5, Issued: next.Issued}, c.root)
	if err != nil {
		t.Fatal(err)
	}
	if err := Install(c.dir, first, firstAnswer); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(TrustFile(c.dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name            string
		request, answer []byte
		want            error
	}{
		{"to a request of before", second, secondAnswer, register.ErrAnswer},
		{"another centre's", first, foreign, errCentreKey},
		{"one that drops keys", first, dropped, errCentreKey},
		{"cut short", first, firstAnswer[:len(firstAnswer)/2], nil},
		{"nothing", first, nil, nil},
		{"to no request", []byte("{}"), firstAnswer, nil},
		{"to a request with more behind it", append(bytes.Clone(first), '1'), firstAnswer, nil},
		{"to a request with a key that nobody knows", []byte(`{"v":1,"x":1}`), firstAnswer, nil},
	} {
		if err := Install(c.dir, row.request, row.answer); err == nil || row.want != nil && !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", row.name, err, row.want)
		}
		if after, err := os.ReadFile(TrustFile(c.dir)); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s: the register has changed: %v", row.name, err)
		}
	}
	if _, err := SignRequest(c.root, first, "0000-0000-0000-0000", time.Now()); !errors.Is(err, ErrOtherRequest) {
		t.Errorf("another request than was looked at: %v", err)
	}
	if _, err := SignRequest(others.root, first, requestHash(first), time.Now()); err == nil {
		t.Error("another root signs")
	}
	if _, err := SignRequest(c.root, []byte(strings.Replace(string(second), `"epoch": 1`, `"epoch": 0`, 1)), "", time.Now()); err == nil {
		t.Error("a request was changed on the way")
	}
}

func TestTheCentresKeyFollowsAnother(t *testing.T) {
	c := newCeremony(t)
	path := filepath.Join(c.dir, centreKeyName)
	before, err := keys.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	request, answer := c.sign(c.request(RequestOptions{CentreKey: true}))
	now, err := keys.Load(path)
	if err != nil || now.KeyID() != before.KeyID() {
		t.Fatalf("changed before the root has answered: %v", err)
	}
	if err := Install(c.dir, request, answer); err != nil {
		t.Fatal(err)
	}
	if now, err = keys.Load(path); err != nil || now.KeyID() == before.KeyID() {
		t.Fatalf("the next key is not the centre's: %v", err)
	}
	for _, k := range []*keys.Key{before, now} {
		if _, _, err := c.trust().CentreKey(k.KeyID(), time.Now()); err != nil {
			t.Errorf("key %v: %v", k.KeyID(), err)
		}
	}
	if _, err := keys.Load(filepath.Join(c.dir, "centre-"+before.KeyID().String()[:12]+".key")); err != nil {
		t.Error("the key before is not kept:", err)
	}
	// A power cut between the two renames.
	if err := os.Rename(path, filepath.Join(c.dir, nextCentreKeyName)); err != nil {
		t.Fatal(err)
	}
	if err := Install(c.dir, request, answer); err != nil {
		t.Fatal(err)
	}
	if again, err := keys.Load(path); err != nil || again.KeyID() != now.KeyID() {
		t.Errorf("after a power cut: %v", err)
	}
}

func TestKeysAreBackedUpAndRestored(t *testing.T) {
	c := newCeremony(t)
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	names, err := BackupKeys(c.dir, &out, []string{identity.Recipient().String()})
	if err != nil || len(names) < 4 {
		t.Fatalf("%q, %v", names, err)
	}
	text, err := os.ReadFile(filepath.Join(c.dir, centreKeyName))
	if err != nil || bytes.Contains(out.Bytes(), text[30:60]) {
		t.Fatalf("the key can be read: %v", err)
	}
	to := t.TempDir()
	if _, err := RestoreKeys(to, bytes.NewReader(out.Bytes()), []age.Identity{stranger}); err == nil {
		t.Error("a stranger restores")
	}
	if _, err := RestoreKeys(to, io.LimitReader(bytes.NewReader(out.Bytes()), int64(out.Len()-20)), []age.Identity{identity}); err == nil {
		t.Error("a backup that was cut short is whole")
	}
	if _, err := RestoreKeys(to, bytes.NewReader(out.Bytes()), []age.Identity{identity}); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		want, err1 := os.ReadFile(filepath.Join(c.dir, name))
		got, err2 := os.ReadFile(filepath.Join(to, name))
		if err := errors.Join(err1, err2); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(to, centreKeyName), []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := RestoreKeys(to, bytes.NewReader(out.Bytes()), []age.Identity{identity}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a key that is there is replaced: %v", err)
	}
	if _, err := BackupKeys(t.TempDir(), io.Discard, []string{identity.Recipient().String()}); !errors.Is(err, keys.ErrMissing) {
		t.Errorf("a folder without keys: %v", err)
	}
}

// FuzzParseRequest shows that no request stops the root's machine.
// TestAMistypedPathCostsNoKey names a key where a request or an answer is to be
// written.
func TestAMistypedPathCostsNoKey(t *testing.T) {
	c := newCeremony(t)
	root := filepath.Join(t.TempDir(), "root.key")
	if err := c.root.Create(root); err != nil {
		t.Fatal(err)
	}
	request, answer := filepath.Join(t.TempDir(), "request.json"), filepath.Join(t.TempDir(), "answer.pem")
	run := func(args ...string) (int, string) {
		var out bytes.Buffer
		exit := Main(args, &out, &out)
		return exit, out.String()
	}
	for range 2 { // the second replaces the first
		if exit, out := run("request", "--dir", c.dir, "--centre-key", "--out", request); exit != 0 {
			t.Fatal(out)
		}
		text, err := os.ReadFile(request)
		if err != nil {
			t.Fatal(err)
		}
		sign := []string{"root", "--key", root, "--request", request, "--accept", requestHash(text), "--answer"}
		if exit, out := run(append(sign, answer)...); exit != 0 {
			t.Fatal(out)
		}
		if exit, out := run(append(sign, root)...); exit == 0 {
			t.Errorf("an answer over the root's key: %s", out)
		}
	}
	if exit, out := run("request", "--dir", c.dir, "--centre-key", "--out", filepath.Join(c.dir, centreKeyName)); exit == 0 {
		t.Errorf("a request over the centre's key: %s", out)
	}
	for _, path := range []string{root, filepath.Join(c.dir, centreKeyName)} {
		if _, err := keys.Load(path); err != nil {
			t.Error(err)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(`{"v":1,"add":[{"role":"device","device":"00112233445566778899aabbccddeeff","epoch":1,"certificate":"x"}],"revoke":["00"]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ParseRequest(text)
		if err != nil {
			return
		}
		if _, _, err := r.next(time.Now()); err != nil && !strings.Contains(r.String(), "cannot be done") {
			t.Error("the people who decide do not see that it cannot be done")
		}
	})
}
