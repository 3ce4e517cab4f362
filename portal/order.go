package portal

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
	"ciglio/portal/keys"
	"ciglio/portal/orders"
	"ciglio/portal/register"
	"ciglio/uplink/wire"
)

// officerValid is how long an officer's key counts.
const officerValid = 365 * 24 * time.Hour

// AddOfficer makes an officer's key in a new file and adds it to the register in
// dir. Devices know it when they have the new trust file.
func AddOfficer(dir, keyFile string) (evidence.Hash, error) {
	if err := centreIn(dir); err != nil {
		return evidence.Hash{}, err
	}
	root, err := keys.Load(filepath.Join(dir, rootKeyName))
	if err != nil {
		return evidence.Hash{}, err
	}
	key, err := keys.Generate()
	if err != nil {
		return evidence.Hash{}, err
	}
	if err := key.Create(keyFile); err != nil {
		return evidence.Hash{}, err
	}
	if _, err = register.AddOfficer(dir, root, key.SPKI(), time.Now(), officerValid); err != nil {
		err = errors.Join(err, os.Remove(keyFile)) // it counts nowhere
	}
	return key.KeyID(), err
}

// SignOrder signs an order of the centre in dir for its device, with the centre's key
// or, when keyFile names one, with an officer's, and keeps it: a running portal sends
// it when the device is there. When out names a new file it is written there first;
// both are done, or neither.
func SignOrder(dir, keyFile string, o wire.Order, valid time.Duration, out string) (*orders.Entry, error) {
	if err := centreIn(dir); err != nil {
		return nil, err
	}
	if keyFile == "" {
		keyFile = filepath.Join(dir, centreKeyName)
	}
	key, err := keys.Load(keyFile)
	if err != nil {
		return nil, err
	}
	f, err := register.Open(dir)
	if err != nil {
		return nil, err
	}
	if !f.Known(o.Device) {
		return nil, fmt.Errorf("device %v: %w", o.Device, errNoDevice)
	}
	_, entry, err := f.Trust().OrderKey(key.KeyID(), time.Now())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyFile, err)
	}
	if entry.Role != o.Kind.Role() {
		return nil, fmt.Errorf("%s: %w: the key is %v's", o.Kind, errOffice, entry.Role)
	}
	if out == "" {
		return orders.Open(dir).Sign(o, key, time.Now(), valid, nil)
	}
	written := false
	e, err := orders.Open(dir).Sign(o, key, time.Now(), valid, func(e *orders.Entry) error {
		if err := durable.Create(out, e.Bytes); err != nil {
			return fmt.Errorf("%s: %w", out, err)
		}
		written = true
		return nil
	})
	if err != nil && written {
		err = errors.Join(err, os.Remove(out))
	}
	return e, err
}

// mayOrder says whether a signed order is of a key that the register of the centre in
// dir lets order that of that device, as the device will ask.
func mayOrder(dir string, bytes []byte, now time.Time) error {
	sealed, err := wire.OpenOrder(bytes)
	if err != nil {
		return err
	}
	f, err := register.Open(dir)
	if err != nil {
		return err
	}
	public, entry, err := f.Trust().OrderKey(sealed.KeyID, now)
	if err != nil {
		return err
	}
	if err := sealed.Verify(public); err != nil {
		return err
	}
	o, err := sealed.Order()
	switch {
	case err != nil:
		return err
	case !f.Known(o.Device):
		return fmt.Errorf("device %v: %w", o.Device, errNoDevice)
	case entry.Role != o.Kind.Role():
		return fmt.Errorf("%s: %w: the key is %v's", o.Kind, errOffice, entry.Role)
	}
	return nil
}

var (
	errNoDevice = errors.New("not in the register")
	errOffice   = errors.New("signed by another office")
)

type officerResult struct {
	Key  string `json:"key"`
	File string `json:"file"`
}

func (r officerResult) String() string {
	return fmt.Sprintf("officer's key %s in %s\nDevices know it when they have the new trust file. Keep the key file where only the officer has it.", r.Key, r.File)
}

func officerFlags(flags *flag.FlagSet) func(context.Context, io.Writer, io.Writer, bool) (any, error) {
	dir := needDir(flags)
	file := flags.String("key", "", "new `file` for the officer's private key (required)")
	return func(context.Context, io.Writer, io.Writer, bool) (any, error) {
		if err := errors.Join(required("dir", *dir), required("key", *file)); err != nil {
			return nil, err
		}
		id, err := AddOfficer(*dir, *file)
		return officerResult{id.String(), *file}, err
	}
}

type orderResult struct {
	Device    string `json:"device"`
	Number    uint64 `json:"number"`
	Order     string `json:"order"`
	NotBefore string `json:"not_before"`
	NotAfter  string `json:"not_after"`
	Key       string `json:"key"`
	File      string `json:"file,omitempty"`
}

func (r orderResult) String() string {
	s := fmt.Sprintf("order %d for device %s: %s\ngood until %s; a running portal sends it when the device is there, and shows what became of it on the device's page",
		r.Number, r.Device, r.Order, r.NotAfter)
	if r.File != "" {
		s += "\nfor a stick: " + r.File
	}
	return s
}

func orderFlags(flags *flag.FlagSet) func(context.Context, io.Writer, io.Writer, bool) (any, error) {
	dir := needDir(flags)
	device := flags.String("device", "", "device id, 32 `hexadecimal` digits (required)")
	kind := flags.String("kind", "", "what to do: `"+kindList()+"` (required)")
	valid := flags.Duration("valid", 24*time.Hour, "how `long` the order may wait for the device")
	reason := flags.String("reason", "", "`words` for the journal: pause, reopen, export")
	until := flags.String("until", "", "`time` at which a pause ends, such as 2026-05-01T18:00:00+02:00")
	epoch := flags.Uint64("epoch", 1, "epoch of the records: resend, export")
	from := flags.Uint64("from", 0, "`number` of the first record: resend, export")
	to := flags.Uint64("to", 0, "`number` of the last record; 0 for the first alone")
	recipient := flags.String("recipient", "", "age `recipient` of an export")
	key := flags.String("key", "", "`file` with an officer's key: reopen, export")
	out := flags.String("out", "", "write the order to this new `file` as well, to be carried on a stick")
	return func(context.Context, io.Writer, io.Writer, bool) (any, error) {
		if err := errors.Join(required("dir", *dir), required("device", *device), required("kind", *kind)); err != nil {
			return nil, err
		}
		id, err := evidence.ParseDeviceID(*device)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errUsage, err)
		}
		o := wire.Order{Device: id, Kind: wire.OrderKind(*kind), Reason: *reason, From: *from, To: *to, Recipient: *recipient}
		if o.From != 0 {
			o.Epoch, o.To = *epoch, max(o.To, o.From)
		}
		if *until != "" {
			if o.Until, err = time.Parse(time.RFC3339, *until); err != nil {
				return nil, fmt.Errorf("%w: --until %s: want a time such as 2026-05-01T18:00:00+02:00", errUsage, *until)
			}
			o.Until = o.Until.UTC()
		}
		now := time.Now().UTC().Truncate(time.Second)
		trial := o
		trial.Number, trial.NotBefore, trial.NotAfter = 1, now.Add(-time.Minute), now.Add(*valid)
		if err := trial.Check(); err != nil {
			return nil, fmt.Errorf("%w: %w", errUsage, err)
		}
		e, err := SignOrder(*dir, *key, o, *valid, *out)
		if err != nil {
			return nil, err
		}
		return orderResult{id.String(), e.Number, e.Order.String(), e.NotBefore.Format(time.RFC3339), e.NotAfter.Format(time.RFC3339), e.KeyID.String(), *out}, nil
	}
}

func kindList() string {
	var words []string
	for _, k := range wire.OrderKinds() {
		words = append(words, string(k))
	}
	return strings.Join(words, "|")
}

type carryResult struct {
	Device string `json:"device"`
	Number uint64 `json:"number"`
	Order  string `json:"order"`
}

func (r carryResult) String() string {
	return fmt.Sprintf("order %d for device %s: %s\nkept to be sent", r.Number, r.Device, r.Order)
}

// carryFlags takes an order that was signed elsewhere.
func carryFlags(flags *flag.FlagSet) func(context.Context, io.Writer, io.Writer, bool) (any, error) {
	dir := needDir(flags)
	file := flags.String("file", "", "`file` with an order that was signed elsewhere (required)")
	return func(context.Context, io.Writer, io.Writer, bool) (any, error) {
		if err := errors.Join(required("dir", *dir), required("file", *file)); err != nil {
			return nil, err
		}
		if err := centreIn(*dir); err != nil {
			return nil, err
		}
		bytes, err := os.ReadFile(*file)
		if err != nil {
			return nil, err
		}
		if err := mayOrder(*dir, bytes, time.Now()); err != nil {
			return nil, fmt.Errorf("%s: %w", *file, err)
		}
		e, err := orders.Open(*dir).Put(bytes)
		if err != nil {
			return nil, err
		}
		return carryResult{e.Device.String(), e.Number, e.Order.String()}, nil
	}
}
