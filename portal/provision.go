package portal

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
	"ciglio/internal/provisioning"
	"ciglio/portal/keys"
)

// trustBundleFlags makes what tells devices whom to believe: the trust file of the
// centre with a file of roles. It counts when the root has signed it.
func trustBundleFlags(flags *flag.FlagSet) func(context.Context, io.Writer, io.Writer, bool) (any, error) {
	dir := needDir(flags)
	roles := flags.String("roles", "", "`file` of roles: which keys may sign what (required)")
	number := flags.Uint64("version", 0, "`number`, higher than that of the last trust bundle (required)")
	devices := many(flags, "device", "device id it is for, 32 `hexadecimal` digits; may be given several times; without it all of the institution")
	from := flags.String("from", "", "first `instant` at which it may be installed, as 2026-01-10T00:00:00Z; empty: now")
	to := flags.String("to", "", "last `instant` of that (required)")
	out := flags.String("out", "", "`file` of the bundle (required)")
	return func(context.Context, io.Writer, io.Writer, bool) (any, error) {
		if err := errors.Join(required("dir", *dir), required("roles", *roles), required("to", *to), required("out", *out)); err != nil {
			return nil, err
		}
		if *number == 0 {
			return nil, fmt.Errorf("%w: --version is missing", errUsage)
		}
		s := provisioning.Statement{Kind: provisioning.Trust, Version: *number, NotBefore: time.Now().UTC().Truncate(time.Second), AllDevices: len(*devices) == 0}
		for _, t := range []struct {
			flag, text string
			to         *time.Time
		}{{"from", *from, &s.NotBefore}, {"to", *to, &s.NotAfter}} {
			if t.text == "" {
				continue
			}
			at, err := time.Parse(time.RFC3339, t.text)
			if err != nil {
				return nil, fmt.Errorf("%w: --%s %s: want a time such as 2026-01-10T00:00:00Z", errUsage, t.flag, t.text)
			}
			*t.to = at
		}
		if s.NotAfter.Before(s.NotBefore) {
			return nil, fmt.Errorf("%w: --to lies before the first instant", errUsage)
		}
		for _, text := range *devices {
			id, err := evidence.ParseDeviceID(text)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", errUsage, err)
			}
			s.Devices = append(s.Devices, id)
		}
		slices.SortFunc(s.Devices, func(a, b evidence.DeviceID) int { return bytes.Compare(a[:], b[:]) })
		s.Devices = slices.Compact(s.Devices)
		if err := centreIn(*dir); err != nil {
			return nil, err
		}
		trust, err := readLimited(TrustFile(*dir))
		if err != nil {
			return nil, err
		}
		text, err := readLimited(*roles)
		if err != nil {
			return nil, err
		}
		parsed, err := provisioning.ParseRoles(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", *roles, err)
		}
		s.Institution = parsed.Institution
		b, err := provisioning.Make(s, []provisioning.File{{Name: "trust.pem", Content: trust}, {Name: "roles.toml", Content: text}})
		if err == nil {
			_, err = b.Anchor() // what a device would refuse is not brought to the root
		}
		if err != nil {
			return nil, err
		}
		if err := replaces(*out, isBundle); err != nil {
			return nil, err
		}
		return bundleResult(*out, b), durable.WriteFile(*out, b.Bytes, 0o600)
	}
}

func isBundle(b []byte) error {
	_, err := provisioning.Open(b)
	return err
}

// bundleResult says what is in a bundle, with the hash by which people at two machines
// know that they look at the same.
func bundleResult(path string, b *provisioning.Bundle) requestResult {
	return requestResult{path, requestHash(b.Bytes), b.Summarize(nil, time.Now()).String() + trustWords(b)}
}

// trustWords says in lines whom a device will believe by a trust bundle.
func trustWords(b *provisioning.Bundle) string {
	if b.Kind != provisioning.Trust {
		return ""
	}
	a, err := b.Anchor()
	if err != nil {
		return fmt.Sprintf("cannot be done: %v\n", err)
	}
	var w strings.Builder
	if trust, err := evidence.ParseTrust(b.Text()); err == nil {
		fmt.Fprintf(&w, "root        %v, issue %d of its register\n", a.Root, trust.Register().Register.Sequence)
	}
	if a.Roles.Centre != "" {
		fmt.Fprintf(&w, "centre      %s, to whom evidence is encrypted\n", a.Roles.Centre)
	}
	for _, k := range a.Roles.Keys {
		fmt.Fprintf(&w, "%-11s %s, key %v, from %s to %s\n", k.Role, k.Name, k.ID, k.NotBefore.Format(time.DateOnly), k.NotAfter.Format(time.DateOnly))
	}
	return w.String()
}

// rootBundle shows a bundle on the root's machine, or signs the one that was looked at.
func rootBundle(keyFile, path, accept, answer string) (any, error) {
	b, err := openBundle(path)
	if err != nil {
		return nil, err
	}
	if accept == "" {
		return bundleResult(path, b), nil
	}
	k, err := keys.Load(keyFile)
	if err != nil {
		return nil, err
	}
	if err := replaces(answer, isBundle); err != nil {
		return nil, err
	}
	signed, err := SignBundle(k, b, accept)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return doneResult{Words: "signed by root " + k.KeyID().String() + ": " + answer}, durable.WriteFile(answer, signed.Bytes, 0o600)
}

// SignBundle adds the root's signature to a bundle of a kind that needs it. accepted is
// the bundle's hash as it was looked at. A trust bundle must name this root: no other
// one counts for the devices that believe it.
func SignBundle(root *keys.Key, b *provisioning.Bundle, accepted string) (*provisioning.Bundle, error) {
	if accepted != requestHash(b.Bytes) {
		return nil, fmt.Errorf("%w: this one is %s", ErrOtherRequest, requestHash(b.Bytes))
	}
	if shape := provisioning.Kinds()[b.Kind]; !slices.Contains(shape.Signers, provisioning.Root) {
		return nil, fmt.Errorf("%s is not the root's business: %s sign it", b.Kind, shape.SignerWords())
	}
	if b.Kind == provisioning.Trust {
		a, err := b.Anchor()
		if err != nil {
			return nil, err
		}
		if a.Root != root.KeyID() {
			return nil, fmt.Errorf("its trust file is of root %v, the key here is %v", a.Root, root.KeyID())
		}
	}
	return b.Sign(root)
}

// inspectFlags says what is in a provisioning bundle, and whether its signatures
// are complete.
func inspectFlags(flags *flag.FlagSet) func(context.Context, io.Writer, io.Writer, bool) (any, error) {
	bundle := flags.String("bundle", "", "`file` of the bundle (required)")
	trust := flags.String("trust", "", "trust `bundle` whose keys are believed; without it signatures are not checked")
	return func(context.Context, io.Writer, io.Writer, bool) (any, error) {
		if err := required("bundle", *bundle); err != nil {
			return nil, err
		}
		b, err := openBundle(*bundle)
		if err != nil {
			return nil, err
		}
		var anchor *provisioning.Anchor
		if *trust != "" {
			t, err := openBundle(*trust)
			if err == nil {
				anchor, err = t.Anchor()
			}
			if err != nil {
				return nil, err
			}
		}
		s := b.Summarize(anchor, time.Now())
		if s.Why != "" {
			err = errors.New(s.Why)
		}
		return s, err
	}
}

func openBundle(path string) (*provisioning.Bundle, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, provisioning.MaxBundle+1))
	if err != nil {
		return nil, err
	}
	b, err := provisioning.Open(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}
