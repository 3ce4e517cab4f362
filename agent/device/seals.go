package device

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"ciglio/agent/config"
	"ciglio/agent/lawtime"
	"ciglio/capture/evidence"
	"ciglio/internal/durable"
	"ciglio/internal/strict"
	"ciglio/sensor"
	"ciglio/sensor/port"
	"ciglio/sensor/tamper"
	"ciglio/uplink/wire"
)

// sealsFile is where the device remembers its seals, in its folder.
const sealsFile = "seals.toml"

// maxSealsFile bounds what is read of it.
const maxSealsFile = 64 << 10

// NewTamper opens what c says watches the cabinet; nil where there is nothing. A line
// that is not there is a finding, and no error, and is tried again.
func NewTamper(c *config.Config, clock sensor.Clock) *tamper.Watch {
	s := c.Seals
	var switches []tamper.Switch
	for _, one := range []struct{ name, line string }{{"door", s.Door}, {"tilt", s.Tilt}} {
		if one.line == "" {
			continue
		}
		switches = append(switches, tamper.Switch{Name: one.name, High: s.Open == "high", Open: func() (tamper.Pin, error) {
			return port.OpenContact(one.line, s.Pull)
		}})
	}
	var gauges []tamper.Gauge
	bus := port.I2C(s.Bus)
	if part := s.Temperature; part.Model != "" {
		gauges = append(gauges, tamper.Gauge{
			Name: "temperature", Read: tamper.Temperature(bus, part.Model, part.Address), Low: int64(s.Coldest), High: int64(s.Hottest),
			Unit: sensor.Celsius,
		})
	}
	if part := s.Supply; part.Model != "" {
		gauges = append(gauges, tamper.Gauge{
			Name: "supply", Read: tamper.Supply(bus, part.Address), Low: int64(s.Least), High: int64(s.Most),
			Unit: sensor.Volts,
		})
	}
	if len(switches)+len(gauges) == 0 {
		return nil
	}
	return tamper.New(clock, switches, gauges)
}

// seals remembers which seals were opened, through restarts and power cuts, until an
// officer's order releases them. What it does not know it takes for opened: a memory
// that is lost or damaged, and a seal that is no longer in the settings. It is safe
// for concurrent use.
type seals struct {
	file    string
	watched []string // names of the switches
	log     *slog.Logger

	mu     sync.Mutex
	opened map[string]time.Time // that wait for an order, and since when
	shows  map[string]bool      // what each switch shows now: open
	gone   []string             // that were watched once and are no longer
	lost   string               // why it is not known what was opened; "" when it is
	fault  error                // why the last change is not on flash
}

// newSeals reads what is remembered. On a fresh device, whose store has no record
// yet, there is nothing to remember.
func newSeals(dir string, watched []string, fresh bool, log *slog.Logger) *seals {
	s := &seals{file: filepath.Join(dir, sealsFile), watched: watched, log: log, opened: map[string]time.Time{}, shows: map[string]bool{}}
	known, err := readSeals(s.file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && (fresh || len(watched) == 0):
	case err != nil:
		s.lost = fmt.Sprintf("what was known of them is lost: %v", err)
	default:
		for name, at := range known {
			if !at.IsZero() {
				s.opened[name] = at
			}
			if !slices.Contains(watched, name) {
				s.gone = append(s.gone, name)
			}
		}
		slices.Sort(s.gone)
	}
	return s
}

// readSeals reads the file: every seal that was ever watched, and when it was opened,
// zero for one that was not.
//
//	[[seal]]
//	name = "door"
//	opened = 2026-12-01T11:05:00Z
func readSeals(path string) (map[string]time.Time, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxSealsFile {
		return nil, fmt.Errorf("%s: no file of seals", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	all, err := parseSeals(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return all, nil
}

func parseSeals(text []byte) (map[string]time.Time, error) {
	var file struct {
		Version int `toml:"version"`
		Seal    []struct {
			Name   string        `toml:"name"`
			Opened lawtime.Begin `toml:"opened"`
		} `toml:"seal"`
	}
	if _, err := strict.Decode(string(text), &file); err != nil {
		return nil, err
	}
	if file.Version != 1 {
		return nil, fmt.Errorf("version %d: want 1", file.Version) // an empty file, too, knows nothing
	}
	all := map[string]time.Time{}
	for _, seal := range file.Seal {
		if _, twice := all[seal.Name]; twice || !evidence.Printable(seal.Name, evidence.MaxID) || strings.ContainsAny(seal.Name, `"\`) {
			return nil, fmt.Errorf("seal %q: want a name, once", seal.Name)
		}
		all[seal.Name] = seal.Opened.Time
	}
	return all, nil
}

// appendSeals writes what parseSeals reads.
func appendSeals(b []byte, all map[string]time.Time) []byte {
	b = append(b, "# The seals of this device, as it remembers them: not to be changed by hand.\nversion = 1\n"...)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		b = fmt.Appendf(b, "\n[[seal]]\nname = %q\n", name)
		if at := all[name]; !at.IsZero() {
			b = fmt.Appendf(b, "opened = %s\n", at.UTC().Format(time.RFC3339))
		}
	}
	return b
}

// keep puts what is known on flash. Memory that was lost stays lost until an order
// releases it: it is not written over. The caller holds mu.
func (s *seals) keep() {
	if s.lost != "" {
		return
	}
	all := map[string]time.Time{}
	for _, name := range slices.Concat(s.watched, s.gone) {
		all[name] = time.Time{}
	}
	maps.Copy(all, s.opened)
	s.fault = durable.WriteFile(s.file, appendSeals(nil, all), 0o600)
	if s.fault != nil {
		s.log.Error("seals not remembered", "error", s.fault)
	}
}

// begin writes down which seals are watched.
func (s *seals) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep()
}

// show takes what a switch shows. One that is open stays opened until it is
// released.
func (s *seals) show(name string, open bool, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shows[name] = open
	if _, was := s.opened[name]; open && !was {
		s.opened[name] = at
		s.keep()
	}
}

// broken returns the names of the seals that keep the gate closed.
func (s *seals) broken() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.opened))
}

// findings returns why the seals cannot be vouched for.
func (s *seals) findings() (all []sensor.Finding) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost != "" {
		all = append(all, sensor.Finding{Code: "seal_lost", Facts: sensor.Told(s.lost)})
	}
	if len(s.gone) > 0 {
		all = append(all, sensor.Finding{Code: "seal_gone", Facts: []sensor.Fact{{Key: "seal_gone", Words: "{seals}: was a seal and is not in the settings any more",
			Args: sensor.Args{"seals": strings.Join(s.gone, ", ")}}}})
	}
	if s.fault != nil {
		all = append(all, sensor.Finding{Code: "seal_memory", About: "not remembered", Facts: sensor.Told(s.fault.Error())})
	}
	return all
}

// errStillOpen says that a seal cannot be released while it is open.
var errStillOpen = errors.New("open still: close it first")

// release forgets what was opened, and what is no longer watched. It is an error, and
// nothing is released, while a switch shows an open seal. It returns in words what
// was released.
func (s *seals) release() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range s.watched {
		if s.shows[name] {
			return "", fmt.Errorf("seal %s: %w", name, errStillOpen)
		}
	}
	var words []string
	for _, name := range slices.Sorted(maps.Keys(s.opened)) {
		words = append(words, fmt.Sprintf("seal %s, opened %s", name, s.opened[name].UTC().Format(time.RFC3339)))
	}
	for _, name := range s.gone {
		words = append(words, "seal "+name+", no longer watched")
	}
	if s.lost != "" {
		words = append(words, "the memory of the seals, which was lost")
	}
	s.opened, s.gone, s.lost = map[string]time.Time{}, nil, ""
	s.keep()
	if len(words) == 0 {
		return "no seal was open", nil
	}
	return strings.Join(words, "; "), s.fault
}

// reopen executes an officer's order: it lets the device measure again after a seal
// was opened. It fails while a seal is open still.
func (d *Device) reopen(order *wire.Order, a *evidence.Act) (string, error) {
	a.Subject, a.Old = order.Reason, evidence.CleanText(strings.Join(d.seals.broken(), ", "))
	words, err := d.seals.release()
	if err != nil {
		return words, err
	}
	a.New = evidence.CleanText(words)
	d.gate.look()
	return words, nil
}

// tampered takes an event of the cabinet: it closes the gate, remembers, and records.
func (d *Device) tampered(e tamper.Event) {
	now, utc := d.o.Clock.Pair()
	if e.Switch {
		d.seals.show(e.What, e.Open, utc.Add(e.At.Sub(now)))
	}
	if e.Quiet {
		return
	}
	d.o.Log.Warn("tamper", "what", e.What, "state", e.Words)
	d.recorder.noteOrLog(evidence.KindTamper, evidence.Body{1: e.What, 2: evidence.CleanText(e.Words)})
	d.gate.look()
}

// watchCabinet runs until ctx ends.
func (d *Device) watchCabinet(ctx context.Context) error {
	d.seals.begin()
	if d.o.Tamper == nil {
		return nil
	}
	return d.o.Tamper.Run(ctx, d.tampered)
}

// sealFaults returns what keeps the seals from being vouched for.
func (d *Device) sealFaults() []sensor.Finding {
	all := d.seals.findings()
	if d.o.Tamper != nil {
		all = append(all, slices.DeleteFunc(d.o.Tamper.Findings(d.o.Clock.Now()), func(f sensor.Finding) bool { return f.Code != tamper.CodeLine })...)
	}
	return all
}

// checkCabinet looks at supply and temperature.
func (d *Device) checkCabinet(now sensor.Mono) []sensor.Finding {
	if d.o.Tamper == nil {
		return nil
	}
	return slices.DeleteFunc(d.o.Tamper.Findings(now), func(f sensor.Finding) bool { return f.Code != tamper.CodeRange })
}
