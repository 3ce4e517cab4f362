package agent

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"ciglio/agent/config"
	"ciglio/agent/provision"
	"ciglio/agent/stick/helper"
	"ciglio/capture/evidence"
	p "ciglio/internal/provisioning"
	"ciglio/uplink/wire"
)

// newExporter is a device with a store of ten records, and a trust bundle that names
// the centre's recipient; none for "".
func newExporter(t *testing.T, centre string) (*lives, *keptStore) {
	t.Helper()
	kept := newKeptStore(t, 2)
	root := signerOf(t, "root")
	register, err := evidence.SealRegister(&evidence.Register{Sequence: 1, Issued: kept.now}, root)
	if err != nil {
		t.Fatal(err)
	}
	roles := "institution = \"example\"\n"
	if centre != "" {
		roles += fmt.Sprintf("centre = %q\n", centre)
	}
	b, err := p.Make(p.Statement{Kind: p.Trust, Version: 1, Institution: "example", Devices: []evidence.DeviceID{kept.options.Device},
		NotBefore: kept.now.Add(-time.Hour), NotAfter: kept.now.Add(time.Hour)},
		[]p.File{{Name: "trust.pem", Content: evidence.EncodeTrust(&testKeyOf(t, "root").PublicKey, register.Bytes)}, {Name: "roles.toml", Content: []byte(roles)}})
	if err == nil {
		b, err = b.Sign(root)
	}
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(kept.dir)
	state, err := provision.Open(filepath.Join(dir, "provisioned"), provision.Options{
		Device: kept.options.Device, Checks: provision.Known(""), Root: root.KeyID(), Now: func() time.Time { return kept.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { state.Close() })
	plan, err := state.Plan([]provision.Named{{Name: "t.ciglio", Content: b.Bytes}})
	if err == nil {
		err = errors.Join(state.Install(plan), state.Started())
	}
	if err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	c.Device.Dir = dir
	return &lives{config: c, id: kept.options.Device, state: state, log: slog.New(slog.DiscardHandler)}, kept
}

// An officer's order takes records out on the stick that brought it, encrypted to the
// centre, and they are those of the store.
func TestAnOrderTakesEvidenceOut(t *testing.T) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	centre := identity.Recipient().String()
	l, kept := newExporter(t, centre)
	order := &wire.Order{Device: l.id, Number: 1, Kind: wire.OrderExport, Epoch: 1, From: 3, To: 100, Reason: "inspection", Recipient: centre,
		NotBefore: kept.now.Truncate(time.Second), NotAfter: kept.now.Add(time.Hour).Truncate(time.Second)}
	sealed, err := wire.SealOrder(order, signerOf(t, "officer"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	put := func(name string, content []byte) error {
		files[name] = bytes.Clone(content)
		return nil
	}
	// What the device does once it has verified the order.
	device := func(b []byte) (a evidence.Act, err error) {
		s, err := wire.OpenOrder(b)
		if err != nil {
			return a, err
		}
		o, err := s.Order()
		if err != nil {
			return a, err
		}
		_, err = l.export(o, &a)
		return a, err
	}
	act, err := l.errand.run(sealed, put, device)
	if err != nil {
		t.Fatal(err)
	}
	var whole []byte
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		whole = append(whole, files[name]...)
	}
	if sum := evidence.Hash(sha256.Sum256(whole)); act.NewHash == nil || *act.NewHash != sum || act.Subject != (wire.Numbers{Epoch: 1, From: 3, To: 100}).String() {
		t.Errorf("the act says %+v, the files have %v", act, sum)
	}
	plain, err := age.Decrypt(bytes.NewReader(whole), identity)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	n := 0
	for archive := tar.NewReader(plain); ; n++ {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(archive)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, h.Name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		want := filepath.Join(t.TempDir(), "own.zip")
		var out, errs bytes.Buffer
		if code := Main([]string{"outbox", "export", "--dir", kept.dir, "--out", filepath.Dir(want), fmt.Sprint(n + 3)}, &out, &errs); code != 0 {
			t.Fatalf("%s", &errs)
		}
		if own, err := os.ReadFile(filepath.Join(filepath.Dir(want), h.Name)); err != nil || !bytes.Equal(own, text) {
			t.Errorf("%s is not what ciglio outbox export writes: %v", h.Name, err)
		}
	}
	if want := 2*perDay - 2; n != want {
		t.Errorf("%d records, want %d", n, want)
	}
	other := *order
	other.Number = 2
	if _, err := l.errand.run(sealed, put, func([]byte) (evidence.Act, error) {
		var a evidence.Act
		_, err := l.export(&other, &a)
		return a, err
	}); !errors.Is(err, errNoStick) {
		t.Errorf("an order that came by the network while another's stick was in: %v", err)
	}
	if _, err := l.export(order, new(evidence.Act)); !errors.Is(err, errNoStick) {
		t.Errorf("when the stick is gone: %v", err)
	}
}

func TestNoEvidenceLeavesOtherwise(t *testing.T) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	centre := identity.Recipient().String()
	full := errors.New("no space left")
	for _, row := range []struct {
		name, installed string
		change          func(*wire.Order)
		put             error
		want            string
	}{
		{"no recipient is installed", "", func(*wire.Order) {}, nil, "no recipient of the centre"},
		{"to somebody else", centre, func(o *wire.Order) { o.Recipient = foreign.Recipient().String() }, nil, "is not that of the centre"},
		{"what is installed is no recipient", "age1xyz", func(o *wire.Order) { o.Recipient = "age1xyz" }, nil, "malformed"},
		{"too many", centre, func(o *wire.Order) { o.To = o.From + maxExport }, nil, "at most 1000"},
		{"none is there", centre, func(o *wire.Order) { o.From, o.To = 500, 600 }, nil, "none of these"},
		{"of another epoch", centre, func(o *wire.Order) { o.Epoch = 7 }, nil, "none of these"},
		{"the stick is full", centre, func(*wire.Order) {}, full, "no space left"},
	} {
		l, _ := newExporter(t, row.installed)
		order := &wire.Order{Device: l.id, Number: 1, Kind: wire.OrderExport, Epoch: 1, From: 1, To: 5, Reason: "inspection", Recipient: centre}
		row.change(order)
		wrote := 0
		l.errand.set(order, func(string, []byte) error { wrote++; return row.put })
		_, err := l.export(order, new(evidence.Act))
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
		if row.put == nil && wrote > 0 {
			t.Errorf("%s: %d files were written", row.name, wrote)
		}
	}
}

func TestPartsAreAsLargeAsAFileMayBe(t *testing.T) {
	for _, size := range []int{0, 1, helper.MaxPut - 1, helper.MaxPut, helper.MaxPut + 1, 3 * helper.MaxPut} {
		text := make([]byte, size)
		rand.Read(text)
		var got []byte
		var names []string
		w := newParts(func(name string, content []byte) error {
			names, got = append(names, name), append(got, content...)
			if len(content) > helper.MaxPut {
				t.Errorf("%s has %d bytes", name, len(content))
			}
			return nil
		}, "x")
		_, err := io.CopyBuffer(struct{ io.Writer }{w}, bytes.NewReader(text), make([]byte, 100_000))
		if err = errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		if want := (size + helper.MaxPut - 1) / helper.MaxPut; !bytes.Equal(got, text) || len(names) != want || !slices.IsSorted(names) || w.size != int64(size) || w.files != want {
			t.Errorf("%d bytes: %v", size, names)
		}
	}
}
