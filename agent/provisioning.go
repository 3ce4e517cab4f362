package agent

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"filippo.io/age"

	"ciglio/agent/config"
	"ciglio/agent/provision"
	"ciglio/agent/stick"
	"ciglio/agent/stick/helper"
	"ciglio/capture/evidence"
	"ciglio/internal/durable"
	p "ciglio/internal/provisioning"
)

const passphraseFlag = "`file` whose first line is the passphrase of the key"

// provisionKey makes a key of a desk.
func provisionKey(f flags) action {
	out := f.String("out", "", "`file` of the new key, encrypted with age")
	phrase := f.String("passphrase", "", passphraseFlag)
	return func(args []string, stdout, stderr io.Writer) int {
		if exit, ok := f.parseAlone(args); !ok {
			return exit
		}
		if *out == "" || *phrase == "" {
			return f.wrong("want --out and --passphrase")
		}
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return fail(stderr, err, "")
		}
		if err := writeDeskKey(*out, *phrase, private); err != nil {
			return fail(stderr, err, "")
		}
		spki, err := evidence.EncodeKey(&private.PublicKey)
		if err != nil {
			return fail(stderr, err, "")
		}
		fmt.Fprintf(stdout, "key = %q\n", base64.StdEncoding.EncodeToString(spki))
		return exitGood
	}
}

func writeDeskKey(path, phraseFile string, private *ecdsa.PrivateKey) error {
	phrase, err := readPassword(phraseFile)
	if err != nil {
		return err
	}
	recipient, err := age.NewScryptRecipient(phrase)
	if err != nil {
		return err
	}
	recipient.SetWorkFactor(16) // 64 MiB and a fraction of a second for each guess
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, recipient)
	if err != nil {
		return err
	}
	if err := pem.Encode(w, &pem.Block{Type: "PRIVATE KEY", Bytes: der}); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := durable.Create(path, sealed.Bytes()); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func readDeskKey(path, phraseFile string) (evidence.Signer, error) {
	phrase, err := readPassword(phraseFile)
	if err != nil {
		return nil, err
	}
	sealed, err := readPlain(path, maxStatement)
	if err != nil {
		return nil, err
	}
	who, err := age.NewScryptIdentity(phrase)
	if err != nil {
		return nil, err
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), who)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	text, err := io.ReadAll(io.LimitReader(r, maxStatement))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s: holds no key", path)
	}
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	key, ok := private.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: holds no ECDSA key", path)
	}
	return evidence.NewSigner(key)
}

// provisionMake makes a bundle of files, without signatures.
func provisionMake(f flags) action {
	kind := f.String("kind", "", "`kind`: calibration, site, register, rules, trust, certificates or software")
	number := f.Uint64("version", 0, "`number`, higher than that of the last bundle of the kind")
	institution := f.String("institution", "", "`name` of the institution, as in the file of roles")
	devices := f.String("devices", "", "`ids` of the devices it is for, with commas")
	all := f.Bool("all-devices", false, "it is for every device of the institution")
	from := f.String("from", "", "first `instant` at which it may be installed, as 2026-01-10T00:00:00Z; empty: now")
	to := f.String("to", "", "last `instant` of that")
	out := f.String("out", "", "`file` of the bundle")
	return func(args []string, stdout, stderr io.Writer) int {
		files, exit, ok := f.parse(args)
		if !ok {
			return exit
		}
		if *kind == "" || *number == 0 || *institution == "" || *all == (*devices != "") || *out == "" || *to == "" || len(files) == 0 {
			return f.wrong("want --kind, --version, --institution, either --devices or --all-devices, --to, --out and the files")
		}
		if _, known := p.Kinds()[p.Kind(*kind)]; !known {
			return f.wrong("--kind %s: there is no such kind", *kind)
		}
		s := p.Statement{Kind: p.Kind(*kind), Version: *number, Institution: *institution, AllDevices: *all, NotBefore: time.Now().UTC().Truncate(time.Second)}
		var err error
		if *from != "" {
			if s.NotBefore, err = time.Parse(time.RFC3339, *from); err != nil {
				return f.wrong("--from: %v", err)
			}
		}
		if s.NotAfter, err = time.Parse(time.RFC3339, *to); err != nil {
			return f.wrong("--to: %v", err)
		}
		if s.NotAfter.Before(s.NotBefore) {
			return f.wrong("--to %s lies before the first instant", *to)
		}
		for d := range strings.FieldsFuncSeq(*devices, func(r rune) bool { return r == ',' || r == ' ' }) {
			id, err := evidence.ParseDeviceID(d)
			if err != nil {
				return f.wrong("--devices: %v", err)
			}
			s.Devices = append(s.Devices, id)
		}
		slices.SortFunc(s.Devices, func(a, b evidence.DeviceID) int { return bytes.Compare(a[:], b[:]) })
		var members []p.File
		for _, path := range files {
			content, err := readPlain(path, p.MaxBundle)
			if err != nil {
				return fail(stderr, err, "")
			}
			members = append(members, p.File{Name: filepath.Base(path), Content: content})
		}
		b, err := p.Make(s, members)
		if err != nil {
			return fail(stderr, err, "docs/provisioning.md lists the files of each kind, in their order")
		}
		if check, known := provision.Known("")[s.Kind]; known {
			if err := check(b); err != nil {
				return fail(stderr, err, "a device would refuse it")
			}
		}
		return f.writeBundle(b, *out, stdout, stderr)
	}
}

func (f flags) writeBundle(b *p.Bundle, path string, stdout, stderr io.Writer) int {
	if err := durable.WriteFile(path, b.Bytes, public); err != nil {
		return fail(stderr, err, "")
	}
	return f.summary(b.Summarize(nil, time.Now()), stdout)
}

func (f flags) summary(s p.Summary, stdout io.Writer) int {
	if *f.json {
		printJSON(stdout, s)
	} else {
		fmt.Fprint(stdout, s)
	}
	return exitGood
}

// provisionSign adds a signature to a bundle.
func provisionSign(f flags) action {
	keyFile := f.String("key", "", "`file` of the key, as provision key made it")
	phrase := f.String("passphrase", "", passphraseFlag)
	return func(args []string, stdout, stderr io.Writer) int {
		files, exit, ok := f.parse(args)
		if !ok {
			return exit
		}
		if len(files) != 1 || *keyFile == "" || *phrase == "" {
			return f.wrong("want --key, --passphrase and one bundle")
		}
		b, err := openBundle(files[0])
		if err != nil {
			return fail(stderr, err, "")
		}
		signer, err := readDeskKey(*keyFile, *phrase)
		if err != nil {
			return fail(stderr, err, "")
		}
		if b, err = b.Sign(signer); err != nil {
			return fail(stderr, err, "")
		}
		return f.writeBundle(b, files[0], stdout, stderr)
	}
}

func openBundle(path string) (*p.Bundle, error) {
	content, err := readPlain(path, p.MaxBundle+1)
	if err != nil {
		return nil, err
	}
	b, err := p.Open(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

// provisionInspect says what is in a bundle.
func provisionInspect(f flags) action {
	trust := f.String("trust", "", "trust `bundle` whose keys are believed")
	return func(args []string, stdout, stderr io.Writer) int {
		files, exit, ok := f.parse(args)
		if !ok {
			return exit
		}
		if len(files) != 1 {
			return f.wrong("want one bundle")
		}
		b, err := openBundle(files[0])
		if err != nil {
			return fail(stderr, err, "")
		}
		var anchor *p.Anchor
		if *trust != "" {
			t, err := openBundle(*trust)
			if err == nil {
				anchor, err = t.Anchor()
			}
			if err != nil {
				return fail(stderr, err, "")
			}
		}
		s := b.Summarize(anchor, time.Now())
		f.summary(s, stdout)
		if !*f.json {
			c, err := provision.Certificate(b)
			if err != nil {
				return fail(stderr, err, "a device would refuse it")
			}
			if c != nil {
				fmt.Fprint(stdout, c)
			}
		}
		if s.Why != "" {
			return exitFailed
		}
		return exitGood
	}
}

// provisionApply installs bundles by hand, while no service runs.
func provisionApply(f flags) action {
	path := f.String("config", config.DefaultPath, "configuration `file`")
	return func(args []string, stdout, stderr io.Writer) int {
		files, exit, ok := f.parse(args)
		if !ok {
			return exit
		}
		if len(files) == 0 {
			return f.wrong("want bundles")
		}
		c, err := loadConfig(*path)
		if err != nil {
			return fail(stderr, err, printHint)
		}
		plan, err := applyByHand(c, files)
		if errors.Is(err, durable.ErrLocked) {
			return fail(stderr, err, "the service runs: plug a stick in, or stop it first")
		}
		if err != nil {
			return fail(stderr, err, "nothing has changed")
		}
		if *f.json {
			printJSON(stdout, plan)
			return exitGood
		}
		for _, e := range plan.Events {
			fmt.Fprintf(stdout, "%s version %d is installed; the next start tries it\n", e.Kind, e.NewVersion)
		}
		for _, o := range plan.Passed {
			fmt.Fprintf(stdout, "%s: passed over: %s\n", o.Name, o.Why)
		}
		return exitGood
	}
}

func applyByHand(c *config.Config, files []string) (plan *provision.Plan, err error) {
	id, err := evidence.ParseDeviceID(c.Device.ID)
	if err != nil {
		return nil, err
	}
	state, err := openProvisioned(c, id)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	var named []provision.Named
	for _, file := range files {
		content, err := readPlain(file, p.MaxBundle+1)
		if err != nil {
			return nil, err
		}
		named = append(named, provision.Named{Name: filepath.Base(file), Content: content})
	}
	if plan, err = state.PlanAgain(named); err != nil {
		return nil, err
	}
	return plan, state.Install(plan)
}

// stickHelper mounts sticks for the service.
func stickHelper(f flags) action {
	socket := f.String("socket", config.Default().Provision.Helper, "`path` of the socket, in a folder of its own")
	dir := f.String("dir", "/run/ciglio-stick/mounts", "`folder` below which sticks are mounted, in memory")
	return func(args []string, stdout, stderr io.Writer) int {
		if exit, ok := f.parseAlone(args); !ok {
			return exit
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		events, err := stick.ListenForEvents()
		if err != nil {
			return fail(stderr, err, "")
		}
		defer events.Close()
		if err := os.Remove(*socket); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fail(stderr, err, "")
		}
		l, err := net.Listen("unix", *socket)
		if err != nil {
			return fail(stderr, err, "it needs a folder that it may write to")
		}
		log := slog.New(slog.NewTextHandler(stderr, nil))
		if err := helper.Serve(ctx, l, &helper.Real{Dir: *dir, Events: events}, log); err != nil {
			return fail(stderr, err, "")
		}
		return exitGood
	}
}
