package wire_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/uplink/wire"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// goodOrder returns an order of a kind with all that it needs.
func goodOrder(k wire.OrderKind) wire.Order {
	o := wire.Order{Device: evidence.DeviceID{1}, Number: 7, Kind: k, NotBefore: noon, NotAfter: noon.Add(time.Hour)}
	switch k {
	case wire.OrderPause:
		o.Reason, o.Until = "works on the road", noon.Add(6*time.Hour)
	case wire.OrderResend:
		o.Epoch, o.From, o.To = 1, 5, 9
	case wire.OrderReopen, wire.OrderConsole:
		o.Reason = "the door was opened by the workshop"
	case wire.OrderExport:
		o.Reason, o.Epoch, o.From, o.To, o.Recipient = "order of the court", 2, 5, 5, "age1qqqq"
	}
	return o
}

func TestOrderHasOneSpelling(t *testing.T) {
	for _, k := range wire.OrderKinds() {
		good := goodOrder(k)
		b, err := good.Marshal()
		if err != nil {
			t.Fatalf("%s: %v", k, err)
		}
		back, err := wire.UnmarshalOrder(b)
		if err != nil || *back != good {
			t.Fatalf("%s: read %+v, %v", k, back, err)
		}
		for name, bad := range map[string][]byte{"empty": {}, "cut": b[:len(b)-1], "longer": append(bytes.Clone(b), 0)} {
			if _, err := wire.UnmarshalOrder(bad); !errors.Is(err, wire.ErrOrder) {
				t.Errorf("%s, %s: %v", k, name, err)
			}
		}
	}
	for _, row := range []struct {
		name   string
		kind   wire.OrderKind
		change func(*wire.Order)
	}{
		{"no number", wire.OrderStatus, func(o *wire.Order) { o.Number = 0 }},
		{"a number beyond 63 bits", wire.OrderStatus, func(o *wire.Order) { o.Number = 1 << 63 }},
		{"ends before it begins", wire.OrderStatus, func(o *wire.Order) { o.NotAfter = noon.Add(-time.Second) }},
		{"before 1970", wire.OrderStatus, func(o *wire.Order) { o.NotBefore = time.Unix(-1, 0) }},
		{"a pause without its end", wire.OrderPause, func(o *wire.Order) { o.Until = time.Time{} }},
		{"a pause without a reason", wire.OrderPause, func(o *wire.Order) { o.Reason = "" }},
		{"a pause that is over", wire.OrderPause, func(o *wire.Order) { o.Until = noon }},
		{"a pause for good", wire.OrderPause, func(o *wire.Order) { o.Until = noon.Add(wire.MaxPause + time.Second) }},
		{"a reason that nobody asked for", wire.OrderSelfTest, func(o *wire.Order) { o.Reason = "x" }},
		{"a reason on two lines", wire.OrderReopen, func(o *wire.Order) { o.Reason = "a\nb" }},
		{"a long reason", wire.OrderReopen, func(o *wire.Order) { o.Reason = strings.Repeat("a", evidence.MaxText+1) }},
		{"records of no epoch", wire.OrderResend, func(o *wire.Order) { o.Epoch = 0 }},
		{"records backwards", wire.OrderResend, func(o *wire.Order) { o.To = o.From - 1 }},
		{"records for a status", wire.OrderStatus, func(o *wire.Order) { o.From = 1 }},
		{"an export to nobody", wire.OrderExport, func(o *wire.Order) { o.Recipient = "" }},
		{"a limit", "limit", func(*wire.Order) {}},
		{"nothing", "", func(*wire.Order) {}},
	} {
		bad := goodOrder(row.kind)
		row.change(&bad)
		if _, err := bad.Marshal(); !errors.Is(err, wire.ErrOrder) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

// TestNoOrderChangesWhatIsMeasured lists what an order can ask for: whoever adds to
// it sees this.
func TestNoOrderChangesWhatIsMeasured(t *testing.T) {
	want := map[wire.OrderKind]evidence.Role{
		"selftest": evidence.RoleCentre, "status": evidence.RoleCentre, "diagnostics": evidence.RoleCentre, "resend": evidence.RoleCentre,
		"pause": evidence.RoleCentre, "resume": evidence.RoleCentre, "reopen": evidence.RoleOfficer, "export": evidence.RoleOfficer,
		"console": evidence.RoleOfficer,
	}
	if len(wire.OrderKinds()) != len(want) {
		t.Errorf("%d kinds, want %d", len(wire.OrderKinds()), len(want))
	}
	for _, k := range wire.OrderKinds() {
		if want[k] != k.Role() {
			t.Errorf("%s is for %v, want %v", k, k.Role(), want[k])
		}
	}
	bad := goodOrder("limit")
	if err := bad.Check(); !errors.Is(err, wire.ErrOrderKind) {
		t.Errorf("an order to set a limit: %v", err)
	}
}

func TestOrderIsSigned(t *testing.T) {
	key := func() (*ecdsa.PrivateKey, evidence.Signer) {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		s, err := evidence.NewSigner(k)
		if err != nil {
			t.Fatal(err)
		}
		return k, s
	}
	k, s := key()
	other, _ := key()
	good := goodOrder(wire.OrderPause)
	b, err := wire.SealOrder(&good, s)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := wire.OpenOrder(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := sealed.Verify(&k.PublicKey); err != nil {
		t.Error(err)
	}
	if err := sealed.Verify(&other.PublicKey); err == nil {
		t.Error("another key verifies it")
	}
	if o, err := sealed.Order(); err != nil || *o != good {
		t.Errorf("read %+v, %v", o, err)
	}
	if _, err := wire.OpenCommand(b); err == nil {
		t.Error("an order was read as a command")
	}
	if _, err := wire.OpenOrder(make([]byte, wire.MaxOrder+1)); !errors.Is(err, wire.ErrOrder) {
		t.Errorf("more than the largest order: %v", err)
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 1
		if sealed, err := wire.OpenOrder(bad); err == nil && sealed.Verify(&k.PublicKey) == nil {
			t.Fatalf("byte %d changed, and it verifies", i)
		}
	}
}

func FuzzUnmarshalOrder(f *testing.F) {
	for _, k := range wire.OrderKinds() {
		good := goodOrder(k)
		b, err := good.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := wire.UnmarshalOrder(b)
		if err != nil {
			return
		}
		if again, err := o.Marshal(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("a second spelling of one order was accepted: %x", b)
		}
	})
}
