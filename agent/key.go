package agent

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"ciglio/agent/config"
	"ciglio/agent/enrol"
	"ciglio/capture/evidence"
	"ciglio/capture/key"
	"ciglio/internal/durable"
	"ciglio/internal/mtls"
	"ciglio/sensor"
	"ciglio/uplink/outbox"
	"ciglio/uplink/wire"
)

const keyHint = "docs/identity.md tells the life of a device's keys, and what to do when one is lost"

// keyCommand is what the commands of the keys have in common: it loads the
// configuration and opens the keys, which it makes where there are none.
//
// use says what is wrong with the flags, before anything is done; nil where nothing
// can be.
func keyCommand(f flags, use func() error, do func(ctx context.Context, p *person, stdout io.Writer) error) action {
	path := f.String("config", config.DefaultPath, "configuration `file`")
	return func(args []string, stdout, stderr io.Writer) int {
		if exit, ok := f.parseAlone(args); !ok {
			return exit
		}
		if use != nil {
			if err := use(); err != nil {
				return f.wrong("%v", err)
			}
		}
		c, err := config.Load(*path, os.Environ())
		if err != nil {
			return fail(stderr, err, printHint)
		}
		p := &person{c: c, json: *f.json}
		if p.id, err = evidence.ParseDeviceID(c.Device.ID); err == nil {
			err = do(context.Background(), p, stdout)
		}
		if err != nil {
			return fail(stderr, err, keyHint)
		}
		return exitGood
	}
}

// required is the use of a flag that must not be empty.
func required(name string, value *string) func() error {
	return func() error {
		if *value == "" {
			return fmt.Errorf("--%s: missing", name)
		}
		return nil
	}
}

// A person is a device as far as it has an identity.
type person struct {
	c    *config.Config
	id   evidence.DeviceID
	json bool
}

// open opens the keys, or makes them.
func (p *person) open(ctx context.Context) (*key.Keys, []byte, error) {
	return identity(ctx, p.c, p.id, slog.New(slog.DiscardHandler))
}

// An identityView is what key show tells.
type identityView struct {
	Device      string  `json:"device"`
	Epoch       uint64  `json:"epoch"`
	Evidence    keyView `json:"evidence_key"`
	TLS         keyView `json:"tls_key"`
	Fingerprint string  `json:"request_fingerprint"`
}

type keyView struct {
	Class string     `json:"class"`
	KeyID string     `json:"kid"`
	Until *time.Time `json:"certificate_ends"` // null where there is none
}

func (v keyView) String() string {
	ends := "no certificate yet"
	if v.Until != nil {
		ends = "certificate ends " + v.Until.UTC().Format("2006-01-02 15:04 UTC")
	}
	return fmt.Sprintf("%s  %s  %s", v.Class, v.KeyID, ends)
}

func keyShow(f flags) action {
	return keyCommand(f, nil, func(ctx context.Context, p *person, stdout io.Writer) error {
		keys, certificate, err := p.open(ctx)
		if err != nil {
			return err
		}
		defer keys.Close()
		x, err := x509.ParseCertificate(certificate)
		if err != nil {
			return err
		}
		tls := evidence.Hash(sha256.Sum256(keys.TLS().SPKI()))
		print := wire.RequestFingerprint(p.id, epoch(p.c), keys.Evidence().KeyID(), tls)
		v := identityView{
			Device: p.c.Device.ID, Epoch: epoch(p.c), Fingerprint: print.String(),
			Evidence: keyView{keys.Evidence().Class(), keys.Evidence().KeyID().String(), &x.NotAfter},
			TLS:      keyView{keys.TLS().Class(), tls.String(), nil},
		}
		if text, err := os.ReadFile(p.c.Uplink.Certificate); err == nil {
			if own, err := mtls.Identity(text, keys.TLS()); err == nil {
				v.TLS.Until = &own.Leaf.NotAfter
			}
		}
		if p.json {
			printJSON(stdout, v)
			return nil
		}
		fmt.Fprintf(stdout, "device       %s, epoch %d\nevidence key %v\nTLS key      %v\nfingerprint  %s\n", v.Device, v.Epoch, v.Evidence, v.TLS, v.Fingerprint)
		return nil
	})
}

func keyRequest(f flags) action {
	out := f.String("out", "request.cose", "the `file` to write")
	return keyCommand(f, required("out", out), func(ctx context.Context, p *person, stdout io.Writer) error {
		keys, certificate, err := p.open(ctx)
		if err != nil {
			return err
		}
		defer keys.Close()
		r, err := p.request(keys, certificate)
		if err != nil {
			return err
		}
		if err := durable.WriteFile(*out, r.Bytes, public); err != nil {
			return err
		}
		if p.json {
			printJSON(stdout, map[string]string{"file": *out, "fingerprint": r.Fingerprint.String()})
			return nil
		}
		fmt.Fprintf(stdout, "%s: request of device %v, epoch %d\ncompare on the phone: %v\n", *out, r.Device, r.Epoch, r.Fingerprint)
		return nil
	})
}

// request seals the request of the device.
func (p *person) request(keys *key.Keys, certificate []byte) (*wire.SealedRequest, error) {
	csr, err := enrol.Request(keys.TLS(), p.id)
	if err != nil {
		return nil, err
	}
	r := &wire.Request{Device: p.id, Epoch: epoch(p.c), Class: keys.Evidence().Class(), Certificate: certificate, TLS: csr}
	if change, err := os.ReadFile(changePath(p.c)); err == nil {
		s, err := evidence.Open(change)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", changePath(p.c), err)
		}
		// One of another key is of a change before the last, when the old key was lost.
		if named, _ := s.Record.Body[1].([]byte); evidence.Hash(named) == keys.Evidence().KeyID() {
			r.Change = change
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return wire.SealRequest(r, keys.Evidence())
}

// client is the device's side of enrolment, with its TLS key.
func client(c *config.Config, id evidence.DeviceID, own crypto.Signer) (*enrol.Client, error) {
	return enrol.New(enrol.Options{URL: c.Uplink.Enrolment, Device: id, Key: own, Authority: c.Uplink.CA, Certificate: c.Uplink.Certificate})
}

func keyEnrol(f flags) action {
	code := f.String("code", "", "the one-time `code` of the centre")
	authority := f.String("authority", "", "SHA-256 of the authority's certificate as the centre has printed it, `hex`; not needed where the device believes it already")
	var believe *evidence.Hash
	use := func() error {
		if *code == "" {
			return errors.New("--code: missing: the centre gives one for each device")
		}
		if *authority != "" {
			h, err := evidence.ParseHash(strings.ToLower(strings.NewReplacer(" ", "", ":", "").Replace(*authority)))
			if err != nil {
				return errors.New("--authority: want 64 hexadecimal digits")
			}
			believe = &h
		}
		return nil
	}
	return keyCommand(f, use, func(ctx context.Context, p *person, stdout io.Writer) error {
		if p.c.Uplink.Enrolment == "" {
			return errors.New("uplink.enrolment: missing: want https://host:port, as ciglio-portal serve --est names it")
		}
		keys, certificate, err := p.open(ctx)
		if err != nil {
			return err
		}
		defer keys.Close()
		e, err := client(p.c, p.id, keys.TLS())
		if err != nil {
			return fmt.Errorf("uplink.enrolment: %w", err)
		}
		if believe != nil {
			if err := e.Believe(ctx, *believe); err != nil {
				return err
			}
		}
		r, err := p.request(keys, certificate)
		if err != nil {
			return err
		}
		// The evidence key first: the code is used up by the certificate.
		if err := e.Propose(ctx, r.Bytes, *code); err != nil {
			return fmt.Errorf("evidence key: %w", err)
		}
		own, err := e.Enrol(ctx, *code)
		if err != nil {
			return fmt.Errorf("TLS certificate: %w", err)
		}
		if p.json {
			printJSON(stdout, map[string]any{"certificate_ends": own.NotAfter, "fingerprint": r.Fingerprint.String()})
			return nil
		}
		fmt.Fprintf(stdout, "%s: certificate until %s\nthe evidence key waits for the root; compare on the phone: %v\n",
			p.c.Uplink.Certificate, own.NotAfter.UTC().Format(time.DateTime), r.Fingerprint)
		return nil
	})
}

func keyInstall(f flags) action {
	in := f.String("in", "", "`file` of certificates, PEM: the device's own first, then the authorities that it is to believe and their lists")
	return keyCommand(f, required("in", in), func(ctx context.Context, p *person, stdout io.Writer) error {
		text, err := readPlain(*in, mtls.MaxFile)
		if err != nil {
			return err
		}
		keys, _, err := p.open(ctx)
		if err != nil {
			return err
		}
		defer keys.Close()
		own, err := enrol.Install(text, p.c.Uplink.CA, p.c.Uplink.Certificate, p.id, keys.TLS(), time.Now())
		if err != nil {
			return fmt.Errorf("%s: %w", *in, err)
		}
		if p.json {
			printJSON(stdout, map[string]any{"certificate_ends": own.NotAfter})
			return nil
		}
		fmt.Fprintf(stdout, "%s: certificate until %s\n", p.c.Uplink.Certificate, own.NotAfter.UTC().Format(time.DateTime))
		return nil
	})
}

// changePath is where the last key change is kept for the request.
func changePath(c *config.Config) string { return c.Device.Key + ".change" }

// nextPath is where a file of the identity is while it is not in force yet.
func nextPath(path string) string { return path + ".next" }

// epochPath is the file that says with which epoch the evidence key begins.
func epochPath(c *config.Config) string { return c.Device.Key + ".epoch" }

// epoch is the epoch of the evidence key: that of the configuration, or the one that
// the last key change began.
func epoch(c *config.Config) uint64 {
	n := uint64(c.Device.Epoch)
	if e, _, err := readEpoch(c); err == nil {
		n = max(n, e)
	}
	return n
}

// readEpoch reads the epoch that a key change began, and with which key.
func readEpoch(c *config.Config) (n uint64, kid string, err error) {
	text, err := os.ReadFile(epochPath(c))
	if err != nil {
		return 0, "", err
	}
	if _, err := fmt.Sscanf(string(text), "epoch %d key %64s\n", &n, &kid); err != nil || len(kid) != 64 || n == 0 {
		return 0, "", fmt.Errorf("%s: want the epoch and the key", epochPath(c))
	}
	return n, kid, nil
}

// finishChange does what a power cut has left undone of a key change: once the epoch
// file names the next key, that is the key.
func finishChange(c *config.Config) error {
	_, kid, err := readEpoch(c)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	text, err := os.ReadFile(nextPath(c.Device.Certificate))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	named, err := certified(text)
	if err != nil {
		return fmt.Errorf("%s: %w", nextPath(c.Device.Certificate), err)
	}
	if named.String() != kid { // of a change that has not come so far
		return nil
	}
	// The certificate last: while it is there, this is done again.
	if err := durable.Place(nextPath(c.Device.Key), c.Device.Key); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return durable.Place(nextPath(c.Device.Certificate), c.Device.Certificate)
}

// certified is the key id in a certificate.
func certified(text []byte) (evidence.Hash, error) {
	x, err := parseCertificate(text)
	if err != nil {
		return evidence.Hash{}, err
	}
	pub, _ := x.PublicKey.(*ecdsa.PublicKey)
	return evidence.KeyID(pub)
}

func keyChange(f flags) action {
	lost := f.Bool("lost", false, "the old key or its records are lost: begin without a word of the old key")
	return keyCommand(f, nil, func(ctx context.Context, p *person, stdout io.Writer) error {
		r, err := p.change(ctx, *lost)
		if err != nil {
			return err
		}
		if p.json {
			printJSON(stdout, map[string]any{"epoch": r.Epoch, "kid": r.KeyID, "class": r.Class, "vouched": r.Change != nil, "fingerprint": r.Fingerprint.String()})
			return nil
		}
		word := "the old key vouches for it"
		if r.Change == nil {
			word = "no old key vouches for it"
		}
		fmt.Fprintf(stdout, "epoch %d begins with key %v, %s; %s\nenrol it: ciglio key enrol, or ciglio key request and a stick\ncompare on the phone: %v\n",
			r.Epoch, r.KeyID, r.Class, word, r.Fingerprint)
		return nil
	})
}

// change makes a new evidence key for the next epoch. Unless lost, the old one seals
// its last record, which names the new one.
func (p *person) change(ctx context.Context, lost bool) (*wire.SealedRequest, error) {
	c := p.c
	if err := finishChange(c); err != nil {
		return nil, err
	}
	// Whoever holds the store is the only one who may change anything.
	store, err := outbox.Open(outboxDir(c), outboxOptions(c, p.id, slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, err
	}
	defer store.Close()
	head := store.Head()
	o := keyOptions(c)
	next := o
	next.Evidence, next.TLS = nextPath(o.Evidence), o.TLS
	if lost {
		// A TLS key that its TPM does not know is no key any more; it sealed nothing.
		if err := key.Probe(ctx, o.TPM, o.TLS); errors.Is(err, key.ErrCleared) || errors.Is(err, key.ErrOtherTPM) || errors.Is(err, key.ErrNoTPM) {
			if err := os.Rename(o.TLS, o.TLS+".lost"); err != nil {
				return nil, err
			}
		}
	}
	if err := key.Create(ctx, next); err != nil {
		return nil, err
	}
	fresh, err := key.Open(ctx, next)
	if err != nil {
		return nil, err
	}
	kid := fresh.Evidence().KeyID()
	text, err := certify(fresh.Evidence(), p.id)
	if err := errors.Join(err, fresh.Close()); err != nil {
		return nil, err
	}
	if err := durable.WriteFile(nextPath(c.Device.Certificate), text, public); err != nil {
		return nil, err
	}
	if !lost {
		old, certificate, err := identity(ctx, c, p.id, slog.New(slog.DiscardHandler))
		if err != nil {
			return nil, fmt.Errorf("%w (--lost begins a new epoch without it)", err)
		}
		sealed, err := p.vouch(store, old.Evidence(), certificate, kid)
		if err := errors.Join(err, old.Close()); err != nil {
			return nil, err
		}
		if err := durable.WriteFile(changePath(c), sealed.Bytes, public); err != nil {
			return nil, err
		}
	}
	n := max(head.Epoch, epoch(c)) + 1
	if err := durable.WriteFile(epochPath(c), fmt.Appendf(nil, "epoch %d key %v\n", n, kid), public); err != nil {
		return nil, err
	}
	if err := finishChange(c); err != nil {
		return nil, err
	}
	now, certificate, err := identity(ctx, c, p.id, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer now.Close()
	return p.request(now, certificate)
}

// settings returns what a measurement depends on, with the site that is installed.
func (p *person) settings() (c *config.Config, statement []byte, err error) {
	state, err := openProvisioned(p.c, p.id)
	if err != nil {
		return nil, nil, err
	}
	defer state.Close()
	c, placed, _, err := installed(state, p.c)
	if err != nil {
		return nil, nil, err
	}
	law, _, err := lawful(state)
	if err != nil {
		return nil, nil, err
	}
	statement, err = placed.Sealed(c)
	return c, law.Sealed(statement), err
}

// vouch puts the last record of the old key into the chain.
func (p *person) vouch(store *outbox.Outbox, old *key.Key, certificate []byte, kid evidence.Hash) (*evidence.Sealed, error) {
	c, statement, err := p.settings()
	if err != nil {
		return nil, err
	}
	software, err := Software()
	if err != nil {
		return nil, err
	}
	system := newClock(p.c)
	state, err := system.State()
	if err != nil {
		state = sensor.ClockState{Source: "none"}
	}
	return store.Append(func(h outbox.Head) (*evidence.Sealed, error) {
		r := &evidence.Record{
			Kind: evidence.KindKeyChange, Device: p.id, Epoch: h.Epoch, Seq: h.Next, Prev: h.Prev, Ack: h.Ack, Boot: bootID(), Clock: state,
			Configuration: evidence.Statement{ID: c.Site.ID, Version: uint64(c.Site.Version), SHA256: sha256.Sum256(statement)},
			Software:      software,
			Key:           evidence.KeyInfo{Certificate: sha256.Sum256(certificate), Class: old.Class()},
			Body:          evidence.Body{1: kid[:]},
		}
		r.Mono, r.UTC = system.Pair()
		r.UTC = r.UTC.UTC().Truncate(time.Microsecond)
		return evidence.Seal(r, old)
	})
}
