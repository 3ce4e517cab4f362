package agent

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ciglio/agent/config"
	"ciglio/capture/evidence"
	"ciglio/sensor"
	"ciglio/sensor/agd"
	"ciglio/sensor/isys4001"
	"ciglio/sensor/ops243"
	"ciglio/sensor/track"
)

// The carrier that is taken when nobody says one.
const assumedCarrier = 24_125_000_000

// An input is what the command measure is given: a recording by itself, or the
// trace of a record, whose bundle or folder says how its sensor was set.
type input struct {
	name    string
	open    func() (io.ReadCloser, error)
	twice   bool           // open may be called again, for the same bytes
	sealed  *config.Config // the settings that the record was sealed with; nil without a record
	record  *evidence.Record
	remarks []string
}

// newInput looks at what lies at path: a recording, a bundle, the folder of one, or
// the trace in such a folder.
func newInput(path string) (*input, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	in := &input{name: path, open: func() (io.ReadCloser, error) { return os.Open(path) }, twice: info.Mode().IsRegular()}
	switch {
	case info.IsDir():
		if _, err := os.Stat(filepath.Join(path, "record.cose")); errors.Is(err, fs.ErrNotExist) {
			return nil, errors.New("is a directory that holds no record")
		}
		b, err := evidence.ReadFolder(os.DirFS(path))
		if err != nil {
			return nil, err
		}
		return in, in.take(b)
	case in.twice && startsWith(path, "PK"):
		b, err := loadBundle(path)
		if err != nil {
			return nil, err
		}
		return in, in.take(b)
	case in.twice && strings.HasPrefix(filepath.Base(path), "trace."):
		folder := filepath.Dir(path)
		if _, err := os.Stat(filepath.Join(folder, "record.cose")); err != nil {
			return in, nil
		}
		b, err := evidence.ReadFolder(os.DirFS(folder))
		if err == nil {
			err = in.take(b)
		}
		if err != nil {
			in.remark("the record beside it does not say how its sensor was set: %v", err)
		}
	}
	return in, nil
}

func startsWith(path, magic string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	b := make([]byte, len(magic))
	_, err = io.ReadFull(f, b)
	return err == nil && string(b) == magic
}

func (in *input) remark(format string, args ...any) {
	in.remarks = append(in.remarks, fmt.Sprintf(format, args...))
}

// take makes the trace of a bundle the input, as far as it is what its record
// names. Who sealed that is for ciglio verify to say.
func (in *input) take(b *evidence.Bundle) error {
	s, err := evidence.Open(b.Record)
	if err != nil {
		return err
	}
	switch r := s.Record; {
	case r.Trace == nil:
		return fmt.Errorf("a record of kind %v has no trace", r.Kind)
	case b.Trace == nil:
		return errors.New("its trace is missing")
	case sha256.Sum256(b.Trace) != r.Trace.SHA256:
		return errors.New("its trace is not the one that the record names")
	}
	in.record, in.twice = s.Record, true
	in.open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Trace)), nil }
	switch {
	case b.Configuration == nil:
		in.remark("the settings of its sensor are not in the bundle")
	case sha256.Sum256(b.Configuration) != s.Record.Configuration.SHA256:
		in.remark("the settings in the bundle are not those that the record names, and were not used")
	default:
		if in.sealed, err = config.ParseStatement(b.Configuration); err != nil {
			in.remark("the settings in the bundle cannot be read: %v", err)
		}
	}
	return nil
}

// openRecorded opens the input with the way that --format says.
func (in *input) openRecorded(open func(*bufio.Reader, int64) (recorded, error), carrier int64) (recorded, io.Closer, error) {
	f, err := in.open()
	if err != nil {
		return recorded{}, nil, err
	}
	r, err := open(bufio.NewReaderSize(f, headSize), carrier)
	if err != nil {
		return recorded{}, nil, errors.Join(err, f.Close())
	}
	return r, f, nil
}

// stated returns what a look at the whole recording says of its bytes.
func (in *input) stated(open func(*bufio.Reader, int64) (recorded, error), carrier int64) ([]string, error) {
	if !in.twice {
		return nil, nil
	}
	r, f, err := in.openRecorded(open, carrier)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if r.signal != nil { // what ends it is said where it is measured
		for err := error(nil); err == nil; {
			_, err = r.signal.Next(context.Background())
		}
	}
	if r.feed != nil {
		drain(r.feed)
	}
	if s, ok := r.signal.(*samples); ok {
		return s.file.Remarks(), nil
	}
	for _, from := range []any{r.signal, r.feed} {
		if counts, ok := from.(interface{ Tally() sensor.Tally }); ok {
			return passedOver(counts.Tally()), nil
		}
	}
	return nil, nil
}

// passedOver says what of a sensor's bytes was no good.
func passedOver(t sensor.Tally) []string {
	var parts []string
	for _, p := range []struct {
		n    int64
		what string
	}{{t.Broken, "broken messages"}, {t.Missing, "missing messages"}, {t.Bytes, "bytes of no whole message"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	if parts == nil {
		return nil
	}
	return []string{"passed over: " + strings.Join(parts, ", ")}
}

// A traceFeed plays the trace of a passage back.
type traceFeed struct {
	cycles   []sensor.Cycle
	identity sensor.Identity
}

func (f *traceFeed) Identity() sensor.Identity { return f.identity }

func (f *traceFeed) Next(ctx context.Context) (sensor.Cycle, error) {
	if err := ctx.Err(); err != nil {
		return sensor.Cycle{}, err
	}
	if len(f.cycles) == 0 {
		return sensor.Cycle{}, io.EOF
	}
	c := f.cycles[0]
	f.cycles = f.cycles[1:]
	return c, nil
}

func openTrace(r io.Reader, _ []byte, _ int64) (recorded, error) {
	cycles, err := track.ReadTrace(r)
	if err != nil {
		return recorded{}, err
	}
	return recorded{feed: &traceFeed{cycles: cycles, identity: sensor.Identity{Model: "trace"}}, trace: true}, nil
}

// tracking returns how the readings of the input are tracked: as its sensor was set
// where a record tells, else with the angle that is given.
func (in *input) tracking(r recorded, angle int) track.Options {
	o := track.Options{Angle: angle / 10, Step: r.step}
	c := in.sealed
	if c == nil {
		return o
	}
	o.Angle, o.PhotoRange, o.Height = int(c.Sensor.Angle)/10, int32(c.Site.PhotoRange), int32(c.Sensor.Height)
	for _, lane := range c.Sensor.Lanes {
		o.Lanes = append(o.Lanes, track.Lane(lane))
	}
	id := sensor.Identity{Model: in.record.Trace.Model, Serial: in.record.Trace.Serial}
	switch c.Sensor.Driver {
	case "agd", "agdxor":
		o.Step, id.Separates = agd.Step, true
	case "isys4001":
		o.Step, id.Separates = isys4001.Step, true
	case "csr":
		o.Step, id.Unchecked = sensor.KmH, true
	case "ops243":
		o.Step = ops243.Step(int(c.Sensor.Rate), int64(c.Sensor.Carrier))
	}
	if f, ok := r.feed.(*traceFeed); ok {
		f.identity = id
	}
	return o
}
