package portal

import (
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
	"ciglio/portal/keys"
)

type rootResult struct {
	Key  string `json:"key"`
	Root string `json:"root"`
}

func (r rootResult) String() string { return fmt.Sprintf("root key %s\nroot     %s", r.Key, r.Root) }

type requestResult struct {
	Request string `json:"request"`
	Hash    string `json:"hash"`
	Words   string `json:"words"`
}

func (r requestResult) String() string {
	return fmt.Sprintf("%srequest %s\nhash    %s", r.Words, r.Request, r.Hash)
}

type doneResult struct {
	Words string   `json:"words"`
	Files []string `json:"files,omitempty"`
}

func (r doneResult) String() string { return strings.Join(append([]string{r.Words}, r.Files...), "\n") }

// rootFlags is what is done on the machine of the root.
func rootFlags(flags *flag.FlagSet) func(context.Context, io.Writer, io.Writer, bool) (any, error) {
	key := flags.String("key", "", "`file` of the root's key (required)")
	create := flags.Bool("make", false, "make it")
	request := flags.String("request", "", "`file` with what the centre asks for: shown, and signed with --accept")
	accept := flags.String("accept", "", "`hash` of the request, as the centre has shown it")
	bundle := flags.String("bundle", "", "`file` with a bundle for devices that the root must sign: shown, and signed with --accept")
	answer := flags.String("answer", "", "`file` for the answer")
	return func(context.Context, io.Writer, io.Writer, bool) (any, error) {
		if err := required("key", *key); err != nil {
			return nil, err
		}
		asked := 0
		for _, one := range []bool{*create, *request != "", *bundle != ""} {
			if one {
				asked++
			}
		}
		if (*accept == "") != (*answer == "") || asked != 1 || *create && *accept != "" {
			return nil, fmt.Errorf("%w: want --make; or --request or --bundle alone to look at it, or with --accept and --answer to sign it", errUsage)
		}
		if *bundle != "" {
			return rootBundle(*key, *bundle, *accept, *answer)
		}
		if *create {
			k, err := keys.Generate()
			if err == nil {
				err = k.Create(*key)
			}
			if err != nil {
				return nil, err
			}
			return rootResult{*key, k.KeyID().String()}, nil
		}
		text, r, err := readRequest(*request)
		if err != nil {
			return nil, err
		}
		if *accept == "" {
			return requestResult{*request, requestHash(text), r.String()}, nil
		}
		k, err := keys.Load(*key)
		if err != nil {
			return nil, err
		}
		if err := replaces(*answer, func(b []byte) error {
			_, err := evidence.ParseTrust(b)
			return err
		}); err != nil {
			return nil, err
		}
		signed, err := SignRequest(k, text, *accept, time.Now())
		if err != nil {
			return nil, err
		}
		return doneResult{Words: "signed by root " + k.KeyID().String() + ": " + *answer}, durable.WriteFile(*answer, signed, 0o600)
	}
}

func readRequest(path string) ([]byte, *Request, error) {
	text, err := readLimited(path)
	if err != nil {
		return nil, nil, err
	}
	r, err := ParseRequest(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return text, r, nil
}

func readLimited(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxRequestFile+1))
	if err == nil && len(text) > maxRequestFile {
		err = fmt.Errorf("%s: more than %d bytes", path, maxRequestFile)
	}
	return text, err
}

// replaces says whether a file may be written at path: where there is none, or one of
// the same kind, which ok reads. A key whose path was mistyped stays.
func replaces(path string, ok func([]byte) error) error {
	text, err := readLimited(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil && ok(text) != nil {
		err = fmt.Errorf("%s: %w, and is something else", path, os.ErrExist)
	}
	return err
}

func writeRequest(path string, r *Request) (any, error) {
	if err := replaces(path, func(b []byte) error {
		_, err := ParseRequest(b)
		return err
	}); err != nil {
		return nil, err
	}
	text, err := r.encode()
	if err != nil {
		return nil, err
	}
	return requestResult{path, requestHash(text), r.String()}, durable.WriteFile(path, text, 0o600)
}

// many gathers what an option that may be given several times is given.
func many(flags *flag.FlagSet, name, usage string) *[]string {
	all := new([]string)
	flags.Func(name, usage, func(v string) error {
		*all = append(*all, v)
		return nil
	})
	return all
}

func requestFlags(flags *flag.FlagSet) func(context.Context, io.Writer, io.Writer, bool) (any, error) {
	dir := needDir(flags)
	out := flags.String("out", "", "`file` to bring to the root (required)")
	centre := flags.Bool("centre-key", false, "ask for the centre's next key, and make it")
	certs := many(flags, "cert", "`file` with the certificate of a device's evidence key, PEM; those that devices have brought are asked for anyway")
	officers := many(flags, "officer-key", "`file` with the public key of an officer, PEM")
	revoke := many(flags, "revoke", "`id` of a key to revoke, 64 hexadecimal digits")
	devices := many(flags, "revoke-device", "device `id` whose evidence keys are to be revoked")
	return func(context.Context, io.Writer, io.Writer, bool) (any, error) {
		if err := errors.Join(required("dir", *dir), required("out", *out)); err != nil {
			return nil, err
		}
		o := RequestOptions{CentreKey: *centre}
		for _, path := range *certs {
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", errCertificate, err)
			}
			var c *x509.Certificate
			if c, err = ReadCertificate(text); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			o.Certificates = append(o.Certificates, c)
		}
		for _, path := range *officers {
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			o.Officers = append(o.Officers, text)
		}
		for _, text := range *revoke {
			id, ok := parseKeyID(text)
			if !ok {
				return nil, fmt.Errorf("%w: key id %q: want 64 hexadecimal digits", errUsage, text)
			}
			o.Revoke = append(o.Revoke, id)
		}
		for _, text := range *devices {
			id, err := evidence.ParseDeviceID(text)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", errUsage, err)
			}
			o.RevokeDevice = append(o.RevokeDevice, id)
		}
		r, err := NewRequest(*dir, o, time.Now())
		if err != nil {
			return nil, err
		}
		return writeRequest(*out, r)
	}
}

func installFlags(flags *flag.FlagSet) func(context.Context, io.Writer, io.Writer, bool) (any, error) {
	dir := needDir(flags)
	request := flags.String("request", "", "`file` that was brought to the root (required)")
	answer := flags.String("answer", "", "`file` that the root has signed (required)")
	return func(context.Context, io.Writer, io.Writer, bool) (any, error) {
		if err := errors.Join(required("dir", *dir), required("request", *request), required("answer", *answer)); err != nil {
			return nil, err
		}
		text, _, err := readRequest(*request)
		if err != nil {
			return nil, err
		}
		signed, err := readLimited(*answer)
		if err != nil {
			return nil, err
		}
		if err := Install(*dir, text, signed); err != nil {
			return nil, err
		}
		trust, err := evidence.ParseTrust(signed)
		if err != nil {
			return nil, err
		}
		return doneResult{Words: fmt.Sprintf("issue %d of root %v installed\ntrust file  %s\na portal that is running takes a new key of the centre when it is started anew",
			trust.Register().Register.Sequence, trust.Root(), TrustFile(*dir))}, nil
	}
}

func backupKeysFlags(flags *flag.FlagSet) func(context.Context, io.Writer, io.Writer, bool) (any, error) {
	dir := flags.String("dir", "", "`directory` of the centre or of the root's key (required)")
	to := flags.String("to", "", "new `file` (required)")
	recipients := many(flags, "recipient", "public key `age1…` of who can restore it; may be given several times (required)")
	return func(context.Context, io.Writer, io.Writer, bool) (any, error) {
		if err := errors.Join(required("dir", *dir), required("to", *to), required("recipient", strings.Join(*recipients, " "))); err != nil {
			return nil, err
		}
		if _, err := os.Lstat(*to); !errors.Is(err, os.ErrNotExist) {
			return nil, errors.Join(fmt.Errorf("%s: %w", *to, os.ErrExist), err)
		}
		var names []string
		err := durable.Write(*to, 0o600, func(w io.Writer) (err error) {
			names, err = BackupKeys(*dir, w, *recipients)
			return err
		})
		return doneResult{"encrypted to " + *to, names}, err
	}
}

func restoreKeysFlags(flags *flag.FlagSet) func(context.Context, io.Writer, io.Writer, bool) (any, error) {
	dir := flags.String("dir", "", "`directory` of the centre or of the root's key (required)")
	from := flags.String("from", "", "`file` that backup-keys wrote (required)")
	identity := flags.String("identity", "", "`file` with the private key of a recipient, as age-keygen writes it (required)")
	return func(context.Context, io.Writer, io.Writer, bool) (any, error) {
		if err := errors.Join(required("dir", *dir), required("from", *from), required("identity", *identity)); err != nil {
			return nil, err
		}
		f, err := os.Open(*identity)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		identities, err := age.ParseIdentities(io.LimitReader(f, 1<<16))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", *identity, err)
		}
		backup, err := os.Open(*from)
		if err != nil {
			return nil, err
		}
		defer backup.Close()
		if err := os.MkdirAll(*dir, 0o700); err != nil {
			return nil, err
		}
		names, err := RestoreKeys(*dir, backup, identities)
		return doneResult{"restored in " + filepath.Clean(*dir), names}, err
	}
}
