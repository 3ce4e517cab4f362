package portal

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
	"ciglio/portal/ca"
	"ciglio/portal/keys"
	"ciglio/portal/register"
	"ciglio/uplink/wire"
)

// nextCentreKeyName is the centre's key that the root has yet to enter.
const nextCentreKeyName = "centre.next.key"

// maxRequestFile is how long a request or an answer may be, in bytes.
const maxRequestFile = 32 << 20

// ErrOtherRequest says that a request is not the one that was looked at.
var ErrOtherRequest = errors.New("not the request that was looked at")

// A Request is what a centre wants of its root, whose key lies on a machine
// without network: the next issue of the register. It goes there in a file.
type Request struct {
	V int `json:"v"`
	// Trust is the trust file that the next follows; empty for the first.
	Trust  string         `json:"trust,omitempty"`
	Add    []RequestEntry `json:"add,omitempty"`
	Revoke []string       `json:"revoke,omitempty"` // key ids, hexadecimal

	left []string // what devices have brought and the root could not enter, and why
}

// A RequestEntry is a key to be entered.
type RequestEntry struct {
	Role        string    `json:"role"`                  // device, centre or officer
	Device      string    `json:"device,omitempty"`      // of a device
	Epoch       uint64    `json:"epoch,omitempty"`       // of a device
	Certificate string    `json:"certificate,omitempty"` // of a device's key, PEM
	Request     []byte    `json:"request,omitempty"`     // in which the device has brought it; see wire.Request
	Key         string    `json:"key,omitempty"`         // of a centre or an officer, PEM
	NotBefore   time.Time `json:"not_before,omitzero"`   // of a centre or an officer
	NotAfter    time.Time `json:"not_after,omitzero"`
}

// encode returns the bytes of the file.
func (r *Request) encode() ([]byte, error) { return json.MarshalIndent(r, "", "  ") }

// ParseRequest reads what a centre wants of its root. Unknown keys are an error.
func ParseRequest(text []byte) (*Request, error) {
	r := new(Request)
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(r); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("request: more behind it")
	}
	if r.V != 1 {
		return nil, fmt.Errorf("request: v %d, want 1", r.V)
	}
	return r, nil
}

// requestHash names a request's bytes, in words short enough to be read out.
func requestHash(text []byte) string {
	sum := sha256.Sum256(text)
	h := hex.EncodeToString(sum[:8])
	return h[:4] + "-" + h[4:8] + "-" + h[8:12] + "-" + h[12:]
}

// parseKeyID reads the id of a key in hexadecimal.
func parseKeyID(text string) (id evidence.Hash, ok bool) {
	id, err := evidence.ParseHash(strings.ToLower(text))
	return id, err == nil
}

// next is the issue that the request asks for.
func (r *Request) next(now time.Time) (next *evidence.Register, trust *evidence.Trust, err error) {
	var have *evidence.Register
	if r.Trust != "" {
		if trust, err = evidence.ParseTrust([]byte(r.Trust)); err != nil {
			return nil, nil, fmt.Errorf("request: %w", err)
		}
		have = trust.Register().Register
	}
	var add []evidence.RegisterEntry
	for i, e := range r.Add {
		entry, err := e.entry(now)
		if err != nil {
			return nil, nil, fmt.Errorf("request: entry %d: %w", i+1, err)
		}
		add = append(add, entry)
	}
	var revoke []evidence.Hash
	for _, text := range r.Revoke {
		id, ok := parseKeyID(text)
		if !ok {
			return nil, nil, fmt.Errorf("request: key id %q", text)
		}
		revoke = append(revoke, id)
	}
	next, err = register.Next(have, add, revoke, now)
	return next, trust, err
}

func (e RequestEntry) entry(now time.Time) (evidence.RegisterEntry, error) {
	if e.Role == evidence.RoleDevice.String() {
		device, err := evidence.ParseDeviceID(e.Device)
		if err != nil {
			return evidence.RegisterEntry{}, err
		}
		certificate, err := ReadCertificate([]byte(e.Certificate))
		if err == nil {
			err = checkProposal(device, certificate)
		}
		if err == nil && len(e.Request) > 0 {
			var r *wire.SealedRequest
			if r, err = wire.OpenRequest(e.Request); err == nil && (r.Device != device || r.Epoch != e.Epoch || !r.Evidence.Equal(certificate)) {
				err = fmt.Errorf("device %v: brought another key than the one to be entered", device)
			}
		}
		if err != nil {
			return evidence.RegisterEntry{}, err
		}
		return register.DeviceEntry(device, e.Epoch, certificate, now)
	}
	role := evidence.RoleCentre
	if e.Role == evidence.RoleOfficer.String() {
		role = evidence.RoleOfficer
	} else if e.Role != role.String() {
		return evidence.RegisterEntry{}, fmt.Errorf("role %q", e.Role)
	}
	block, rest := pem.Decode([]byte(e.Key))
	if block == nil || block.Type != "PUBLIC KEY" || len(bytes.TrimSpace(rest)) != 0 {
		return evidence.RegisterEntry{}, errors.New("key: not one PEM block of type PUBLIC KEY")
	}
	if _, err := evidence.ParseKey(block.Bytes); err != nil {
		return evidence.RegisterEntry{}, err
	}
	return evidence.RegisterEntry{Role: role, Key: block.Bytes, NotBefore: e.NotBefore, NotAfter: e.NotAfter}, nil
}

// certificates are those of the devices that the request adds.
func (r *Request) certificates() (all []*x509.Certificate, err error) {
	for _, e := range r.Add {
		if e.Certificate == "" {
			continue
		}
		c, err := ReadCertificate([]byte(e.Certificate))
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// String says what the root is asked for, for the people who decide.
func (r *Request) String() string {
	var b strings.Builder
	next, trust, err := r.next(time.Now())
	switch {
	case err != nil:
		fmt.Fprintf(&b, "cannot be done: %v\n", err)
	case trust == nil:
		fmt.Fprintf(&b, "the first issue of a new register\n")
	default:
		fmt.Fprintf(&b, "issue %d of the register of root %v\n", next.Sequence, trust.Root())
	}
	for _, e := range r.Add {
		if entry, err := e.entry(time.Now()); err == nil {
			fmt.Fprintf(&b, "add     %-7s %s key %x, from %s to %s\n", e.Role, deviceWords(e), sha256.Sum256(entry.Key),
				entry.NotBefore.UTC().Format(time.DateOnly), entry.NotAfter.UTC().Format(time.DateOnly))
			if e.Role == evidence.RoleDevice.String() {
				fmt.Fprintf(&b, "        %s\n        %s\n", fingerprintWords(e), successionWords(e, trust))
			}
		}
	}
	for _, words := range r.left {
		fmt.Fprintf(&b, "left out: %s\n", words)
	}
	for _, id := range r.Revoke {
		fmt.Fprintf(&b, "revoke  key %s\n", id)
	}
	return b.String()
}

func deviceWords(e RequestEntry) string {
	if e.Device == "" {
		return ""
	}
	return fmt.Sprintf("%s epoch %d,", e.Device, e.Epoch)
}

// fingerprintWords are what is compared on the phone.
func fingerprintWords(e RequestEntry) string {
	r, err := wire.OpenRequest(e.Request)
	if err != nil {
		return "without the device's own request: nothing to compare on the phone but the key"
	}
	return "fingerprint " + r.Fingerprint.String() + ", to be compared on the phone"
}

// successionWords say whether a key of the device that stands in the register has
// named the one to be entered. Who has stolen a device's certificate for TLS can
// bring a key, but not that word.
func successionWords(e RequestEntry, trust *evidence.Trust) string {
	device, err := evidence.ParseDeviceID(e.Device)
	if err != nil || trust == nil || !slices.ContainsFunc(trust.Register().Register.Entries, func(had evidence.RegisterEntry) bool {
		return had.Role == evidence.RoleDevice && had.Device == device
	}) {
		return "the device's first key"
	}
	const unnamed = "NOT NAMED by a key that the device had before"
	r, err := wire.OpenRequest(e.Request)
	if err != nil || r.Change == nil {
		return unnamed + ": is it lost, and who says so?"
	}
	before := r.Change.Record
	public, entry, err := trust.DeviceKey(device, before.Epoch, r.Change.KeyID, before.UTC)
	if err == nil && entry.Revoked != nil {
		err = errors.New("it is revoked")
	}
	if err == nil {
		err = r.Change.Verify(public)
	}
	if err != nil {
		return fmt.Sprintf("%s: %v", unnamed, err)
	}
	return fmt.Sprintf("named by the device's key of epoch %d", before.Epoch)
}

// publicPEM is a public key as a request has it.
func publicPEM(spki []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}))
}

// InitForRoot makes a centre in dir whose root is on another machine: all that
// [Init] makes but the root's key and the register. It returns what the root is
// asked for, and asks the same again until the root's answer is installed.
func InitForRoot(dir string, now time.Time) (*Request, error) {
	if err := begin(dir, rootElsewhere, now); err != nil {
		return nil, err
	}
	key, err := keys.LoadOrCreate(filepath.Join(dir, centreKeyName))
	if err != nil {
		return nil, err
	}
	return &Request{V: 1, Add: []RequestEntry{centreEntry(key, now)}}, nil
}

func deviceRequest(device evidence.DeviceID, epoch uint64, c *x509.Certificate) RequestEntry {
	return RequestEntry{Role: evidence.RoleDevice.String(), Device: device.String(), Epoch: epoch, Certificate: string(certificatePEM(c))}
}

func centreEntry(key *keys.Key, now time.Time) RequestEntry {
	from := now.UTC().Truncate(time.Second).Add(-time.Minute)
	return RequestEntry{Role: evidence.RoleCentre.String(), Key: publicPEM(key.SPKI()), NotBefore: from, NotAfter: from.Add(centreValid)}
}

// RequestOptions say what a centre asks of its root beside the evidence keys that
// devices have brought.
type RequestOptions struct {
	CentreKey    bool // the next key of the centre, which is made now
	Certificates []*x509.Certificate
	Officers     [][]byte            // public keys, PEM
	Revoke       []evidence.Hash     // key ids
	RevokeDevice []evidence.DeviceID // every key of these devices
}

// NewRequest gathers what the centre in dir asks of its root.
func NewRequest(dir string, o RequestOptions, now time.Time) (*Request, error) {
	if err := centreIn(dir); err != nil {
		return nil, err
	}
	f, err := register.Open(dir)
	if err != nil {
		return nil, err
	}
	r := &Request{V: 1, Trust: string(f.Text())}
	proposed := proposals{dir}
	brought, err := proposed.all()
	if err != nil {
		return nil, err
	}
	for _, device := range brought {
		b, err := proposed.get(device)
		if err != nil {
			return nil, fmt.Errorf("evidence key of device %v: %w", device, err)
		}
		// What cannot be entered must not keep others waiting.
		entry := deviceRequest(device, b.Epoch, b.Evidence)
		entry.Request = b.Bytes
		more := &Request{V: 1, Trust: r.Trust, Add: append(slices.Clone(r.Add), entry)}
		if _, _, err := more.next(now); err != nil {
			r.left = append(r.left, fmt.Sprintf("device %v: %v", device, err))
			continue
		}
		r.Add = more.Add
	}
	entries := f.Trust().Register().Register.Entries
	for _, c := range o.Certificates {
		device, err := evidence.ParseDeviceID(c.Subject.CommonName)
		if err != nil {
			return nil, fmt.Errorf("certificate of %q: %w", c.Subject.CommonName, err)
		}
		epoch := uint64(1)
		for _, e := range entries {
			if e.Role == evidence.RoleDevice && e.Device == device {
				epoch = max(epoch, e.Epoch+1)
			}
		}
		r.Add = append(r.Add, deviceRequest(device, epoch, c))
	}
	for _, k := range o.Officers {
		from := now.UTC().Truncate(time.Second)
		r.Add = append(r.Add, RequestEntry{Role: evidence.RoleOfficer.String(), Key: string(k), NotBefore: from, NotAfter: from.Add(centreValid)})
	}
	if o.CentreKey {
		key, err := keys.LoadOrCreate(filepath.Join(dir, nextCentreKeyName))
		if err != nil {
			return nil, err
		}
		r.Add = append(r.Add, centreEntry(key, now))
	}
	for _, id := range o.Revoke {
		r.Revoke = append(r.Revoke, id.String())
	}
	for _, device := range o.RevokeDevice {
		for _, e := range entries {
			if e.Role == evidence.RoleDevice && e.Device == device && e.Revoked == nil {
				r.Revoke = append(r.Revoke, evidence.Hash(sha256.Sum256(e.Key)).String())
			}
		}
	}
	if len(r.Add)+len(r.Revoke) == 0 {
		return nil, fmt.Errorf("nothing waits for the root%s", strings.Join(append([]string{""}, r.left...), "\nleft out: "))
	}
	if _, _, err := r.next(now); err != nil {
		return nil, err
	}
	return r, nil
}

// SignRequest is the root's answer to a request, a trust file. accepted is the
// request's hash as it was looked at.
func SignRequest(root *keys.Key, text []byte, accepted string, now time.Time) ([]byte, error) {
	r, err := ParseRequest(text)
	if err != nil {
		return nil, err
	}
	if accepted != requestHash(text) {
		return nil, fmt.Errorf("%w: this one is %s", ErrOtherRequest, requestHash(text))
	}
	next, trust, err := r.next(now)
	if err != nil {
		return nil, err
	}
	if trust != nil && trust.Root() != root.KeyID() {
		return nil, fmt.Errorf("request: of root %v, the key here is %v", trust.Root(), root.KeyID())
	}
	return register.Sign(next, root)
}

// Install puts the root's answer to a request in its place in the centre in dir. A
// next key of the centre that the answer has entered becomes the centre's; a
// portal that is running takes it when it is started anew.
func Install(dir string, request, answer []byte) error {
	r, err := ParseRequest(request)
	if err != nil {
		return err
	}
	certificates, err := r.certificates()
	if err != nil {
		return err
	}
	trust, err := evidence.ParseTrust(answer)
	if err != nil {
		return err
	}
	next, err := countsIn(trust, filepath.Join(dir, nextCentreKeyName))
	if err != nil && !errors.Is(err, keys.ErrMissing) && !errors.Is(err, errCentreKey) {
		return err
	}
	if !next { // or what the centre signs would count no more
		if _, err := countsIn(trust, filepath.Join(dir, centreKeyName)); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
	}
	if err := register.Install(dir, answer, certificates); err != nil {
		return err
	}
	if err := settle(dir); err != nil {
		return err
	}
	if next {
		if err := promote(dir); err != nil {
			return err
		}
	}
	for _, e := range r.Add {
		if device, err := evidence.ParseDeviceID(e.Device); err == nil {
			if err := (proposals{dir}).settle(device, trust); err != nil {
				return err
			}
		}
	}
	return nil
}

// countsIn says whether a centre's key is in force in a register.
func countsIn(trust *evidence.Trust, path string) (bool, error) {
	key, err := keys.Load(path)
	if err != nil {
		return false, err
	}
	if _, _, err := trust.CentreKey(key.KeyID(), time.Now()); err != nil {
		return false, fmt.Errorf("%s: %w: %w", path, errCentreKey, err)
	}
	return true, nil
}

// promote makes the next key of the centre its key. The one before is kept under
// its id. What a power cut leaves, another Install ends.
func promote(dir string) error {
	path := filepath.Join(dir, centreKeyName)
	before, err := keys.Load(path)
	switch {
	case err == nil:
		kept := filepath.Join(dir, "centre-"+before.KeyID().String()[:12]+".key")
		if err := durable.Rename(path, kept); err != nil {
			return err
		}
	case !errors.Is(err, keys.ErrMissing):
		return err
	}
	return durable.Rename(filepath.Join(dir, nextCentreKeyName), path)
}

// BackupKeys writes the private keys in dir, a centre's or a root's, encrypted to
// recipients (age1…, filippo.io/age). It returns the names of what is in it.
func BackupKeys(dir string, to io.Writer, recipients []string) ([]string, error) {
	var all []age.Recipient
	for _, text := range recipients {
		r, err := age.ParseX25519Recipient(text)
		if err != nil {
			return nil, fmt.Errorf("recipient %q: %w", text, err)
		}
		all = append(all, r)
	}
	if len(all) == 0 {
		return nil, errors.New("no recipient")
	}
	paths, err := secrets(dir)
	if err != nil {
		return nil, err
	}
	w, err := age.Encrypt(to, all...)
	if err != nil {
		return nil, err
	}
	archive := tar.NewWriter(w)
	for _, name := range paths {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		if err := archive.WriteHeader(&tar.Header{Name: filepath.ToSlash(name), Mode: 0o600, Size: int64(len(text)), Format: tar.FormatUSTAR}); err != nil {
			return nil, err
		}
		if _, err := archive.Write(text); err != nil {
			return nil, err
		}
	}
	return paths, errors.Join(archive.Close(), w.Close())
}

// secrets are the files of keys under dir, and what the authority for TLS cannot be
// restored without.
func secrets(dir string) ([]string, error) {
	var all []string
	for _, pattern := range []string{"*.key", caFolder + "/*.key", caFolder + "/*.crt", caFolder + "/" + ca.BelievedName, caFolder + "/issued/*/*.pem"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, err
		}
		for _, p := range paths {
			name, err := filepath.Rel(dir, p)
			if err != nil {
				return nil, err
			}
			all = append(all, name)
		}
	}
	if !slices.ContainsFunc(all, func(n string) bool { return strings.HasSuffix(n, ".key") }) {
		return nil, fmt.Errorf("directory %s: %w", dir, keys.ErrMissing)
	}
	return all, nil
}

// maxSecret is how long one file of a backup of keys may be, in bytes.
const maxSecret = 16 << 20

// RestoreKeys writes the files of a backup of keys into dir. It never replaces one:
// a file that is there with other bytes is an error that wraps [fs.ErrExist].
func RestoreKeys(dir string, from io.Reader, identities []age.Identity) ([]string, error) {
	r, err := age.Decrypt(from, identities...)
	if err != nil {
		return nil, err
	}
	var all []string
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, fmt.Errorf("backup: %w", err)
		}
		if !filepath.IsLocal(h.Name) || h.Typeflag != tar.TypeReg || h.Size > maxSecret {
			return all, fmt.Errorf("backup: %q is no key's file", h.Name)
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			return all, fmt.Errorf("backup: %w", err)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return all, err
		}
		if had, err := os.ReadFile(path); err == nil && bytes.Equal(had, text) {
			continue
		}
		if err := durable.Create(path, text); err != nil {
			return all, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, h.Name)
	}
}
