package simulate

import (
	"embed"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"ciglio/internal/strict"
	"ciglio/sensor"
)

// The sections of a scenario file. docs/simulator.md describes every key.
type (
	scenarioFile struct {
		Title      string
		About      string
		Seed       uint64
		Duration   interval
		Ideal      bool
		Radar      radarSection
		Lane       []laneSection
		Vehicle    []vehicleSection
		Traffic    []trafficSection
		Rain       *rainSection
		Vegetation *vegetationSection
		Contacts   []contactsSection
		Readings   readingsSection
	}
	radarSection struct {
		Carrier        *hertz
		Rate           *hertz
		Output         string
		Bits           *int
		Height         *metres
		Angle          angle
		Tilt           angle
		BeamWidth      *angle `toml:"beam_width"`
		Gain           level
		Noise          level
		Corner         *hertz
		Tones          []toneSection
		Mains          []toneSection
		GainImbalance  *level `toml:"gain_imbalance"`
		PhaseImbalance *angle `toml:"phase_imbalance"`
	}
	toneSection struct {
		Frequency hertz
		Level     level
	}
	laneSection struct {
		At        *metres
		Direction sensor.Direction
	}
	vehicleSection struct {
		Class      Class
		Speed      sensor.Speed
		Direction  sensor.Direction
		Lane       int
		Passing    *interval
		Reflection level
		Phases     []phaseSection
		Changes    []changeSection
	}
	phaseSection struct {
		From, Until  interval
		Acceleration acceleration
	}
	changeSection struct {
		From, Over interval
		Lane       int
	}
	trafficSection struct {
		Lane        int
		Direction   sensor.Direction
		From, Until interval
		Flow        hourly
		Gap         interval
		Speed       sensor.Speed
		Spread      sensor.Speed
		Least, Most sensor.Speed
		Shares      map[string]int
	}
	rainSection struct {
		Level     level
		Speed     sensor.Speed
		Spread    sensor.Speed
		Direction sensor.Direction
	}
	vegetationSection struct {
		Level  level
		Spread sensor.Speed
	}
	contactsSection struct {
		Lane   int
		At     []metres
		Loop   metres
		Jitter interval
	}
	readingsSection struct {
		Every           interval
		SpeedNoise      sensor.Speed `toml:"speed_noise"`
		RangeNoise      metres       `toml:"range_noise"`
		AngleNoise      angle        `toml:"angle_noise"`
		SpeedResolution sensor.Speed `toml:"speed_resolution"`
		RangeResolution metres       `toml:"range_resolution"`
		AngleResolution angle        `toml:"angle_resolution"`
		Fading          bool
		Missed          float64
		Ghosts          hourly
	}
)

// maxFile is more than any scenario needs.
const maxFile = 4 << 20

// ParseScenario reads a scenario file. An unknown key, a value without its unit
// and a value out of range are errors that name it. The form is described in
// docs/simulator.md.
func ParseScenario(text []byte) (Scenario, error) {
	if len(text) > maxFile {
		return Scenario{}, fmt.Errorf("scenario: %d bytes: want at most %d", len(text), maxFile)
	}
	var f scenarioFile
	if _, err := strict.Decode(string(text), &f); err != nil {
		return Scenario{}, fmt.Errorf("scenario: %w", err)
	}
	s, err := f.scenario()
	if err == nil {
		err = s.validate()
	}
	if err != nil {
		return Scenario{}, fmt.Errorf("scenario: %w", err)
	}
	return s, nil
}

// validate checks all that can be checked without drawing the traffic.
func (s Scenario) validate() error {
	s.Radar.fill()
	if err := s.check(); err != nil {
		return err
	}
	for i, v := range s.Vehicles {
		if _, err := newDrive(v, s.Radar.Lanes); err != nil {
			return fmt.Errorf("vehicle %d: %w", i+1, err)
		}
	}
	for i, f := range s.Flows {
		f.fill(s.Duration)
		if err := f.check(len(s.Radar.Lanes)); err != nil {
			return fmt.Errorf("traffic %d: %w", i+1, err)
		}
	}
	return nil
}

func (f *scenarioFile) scenario() (Scenario, error) {
	s := Scenario{Title: f.Title, About: f.About, Seed: f.Seed, Duration: time.Duration(f.Duration), Ideal: f.Ideal}
	var err error
	if s.Radar, err = f.Radar.radar(); err != nil {
		return s, fmt.Errorf("radar: %w", err)
	}
	for i, l := range f.Lane {
		if l.At == nil {
			return s, fmt.Errorf("lane %d: no key at", i+1)
		}
		s.Radar.Lanes = append(s.Radar.Lanes, float64(*l.At))
	}
	for i, v := range f.Vehicle {
		vehicle, err := f.vehicle(v)
		if err != nil {
			return s, fmt.Errorf("vehicle %d: %w", i+1, err)
		}
		s.Vehicles = append(s.Vehicles, vehicle)
	}
	for i, t := range f.Traffic {
		flow, err := f.flow(t)
		if err != nil {
			return s, fmt.Errorf("traffic %d: %w", i+1, err)
		}
		s.Flows = append(s.Flows, flow)
	}
	if r := f.Rain; r != nil {
		s.Rain = &Rain{Level: float64(r.Level), Speed: r.Speed, Away: r.Direction == sensor.Receding, Spread: r.Spread}
	}
	if p := f.Vegetation; p != nil {
		s.Plants = &Vegetation{Level: float64(p.Level), Spread: p.Spread}
	}
	for _, c := range f.Contacts {
		contacts := Contacts{Lane: c.Lane, Length: float64(c.Loop), Jitter: time.Duration(c.Jitter)}
		for _, at := range c.At {
			contacts.At = append(contacts.At, float64(at))
		}
		s.Contacts = append(s.Contacts, contacts)
	}
	r := f.Readings
	s.Readings = CycleOptions{
		Every: time.Duration(r.Every), Fading: r.Fading, Missed: r.Missed, Ghosts: float64(r.Ghosts) / 3600,
		SpeedNoise: r.SpeedNoise, RangeNoise: float64(r.RangeNoise), AngleNoise: float64(r.AngleNoise),
		SpeedResolution: r.SpeedResolution, RangeResolution: float64(r.RangeResolution), AngleResolution: float64(r.AngleResolution),
	}
	return s, nil
}

func (r *radarSection) radar() (Radar, error) {
	radar := Radar{Angle: float64(r.Angle), Tilt: float64(r.Tilt), Gain: float64(r.Gain), Noise: float64(r.Noise)}
	switch r.Output {
	case "", "iq":
	case "real":
		radar.Real = true
	default:
		return radar, fmt.Errorf("output %q: want iq or real", r.Output)
	}
	// In a Radar 0 stands for the usual value; in a file it is 0.
	given := func(to *float64, name string, value *float64) error {
		if value != nil && *value <= 0 {
			return fmt.Errorf("%s %g: want more than 0", name, *value)
		}
		if value != nil {
			*to = *value
		}
		return nil
	}
	var carrier, rate float64
	if err := errors.Join(
		given(&carrier, "carrier", (*float64)(r.Carrier)),
		given(&rate, "rate", (*float64)(r.Rate)),
		given(&radar.Height, "height", (*float64)(r.Height)),
		given(&radar.Beamwidth, "beam_width", (*float64)(r.BeamWidth)),
	); err != nil {
		return radar, err
	}
	radar.Carrier, radar.Rate = int64(carrier+0.5), int(min(rate, 1e9)+0.5)
	if r.Bits != nil {
		if radar.Bits = *r.Bits; radar.Bits == 0 {
			return radar, errors.New("bits 0: want 8 to 16")
		}
	}
	if r.Corner != nil {
		if radar.Corner = float64(*r.Corner); radar.Corner == 0 {
			radar.Corner = -1
		}
	}
	radar.Tones, radar.Mains = tones(r.Tones), tones(r.Mains)
	if r.GainImbalance != nil || r.PhaseImbalance != nil {
		radar.Imbalance = &Imbalance{}
		if r.GainImbalance != nil {
			radar.Imbalance.Gain = float64(*r.GainImbalance)
		}
		if r.PhaseImbalance != nil {
			radar.Imbalance.Phase = float64(*r.PhaseImbalance)
		}
	}
	return radar, nil
}

func tones(sections []toneSection) []Tone {
	if sections == nil {
		return nil // the usual ones
	}
	all := []Tone{}
	for _, t := range sections {
		all = append(all, Tone{float64(t.Frequency), float64(t.Level)})
	}
	return all
}

// lane returns a lane with its usual direction; 0 is lane 1.
func (f *scenarioFile) lane(n int, d sensor.Direction) (int, sensor.Direction) {
	if n == 0 {
		n = 1
	}
	if d == sensor.DirectionUnknown && n >= 1 && n <= len(f.Lane) {
		d = f.Lane[n-1].Direction
	}
	if d == sensor.DirectionUnknown && len(f.Lane) == 0 && (n == 1 || n == 2) {
		d = [...]sensor.Direction{sensor.Approaching, sensor.Receding}[n-1]
	}
	return n, d
}

func (f *scenarioFile) vehicle(v vehicleSection) (Vehicle, error) {
	if v.Passing == nil {
		return Vehicle{}, errors.New("no key passing")
	}
	vehicle := Vehicle{Speed: v.Speed, Class: v.Class, Passing: time.Duration(*v.Passing), Reflection: float64(v.Reflection)}
	vehicle.Lane, vehicle.Direction = f.lane(v.Lane, v.Direction)
	for _, p := range v.Phases {
		vehicle.Phases = append(vehicle.Phases, Phase{time.Duration(p.From), time.Duration(p.Until), float64(p.Acceleration)})
	}
	for _, c := range v.Changes {
		vehicle.Changes = append(vehicle.Changes, Change{time.Duration(c.From), time.Duration(c.Over), c.Lane})
	}
	return vehicle, nil
}

func (f *scenarioFile) flow(t trafficSection) (Flow, error) {
	flow := Flow{
		From: time.Duration(t.From), Until: time.Duration(t.Until), PerHour: float64(t.Flow), Gap: time.Duration(t.Gap),
		Speed: t.Speed, Spread: t.Spread, Least: t.Least, Most: t.Most,
	}
	flow.Lane, flow.Direction = f.lane(t.Lane, t.Direction)
	for _, class := range Classes() {
		if parts, ok := t.Shares[class.String()]; ok {
			flow.Shares = append(flow.Shares, Share{class, parts})
			delete(t.Shares, class.String())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.Shares)) {
		return flow, new(Class).UnmarshalText([]byte(name))
	}
	return flow, nil
}

//go:embed scenarios/*.toml
var scenarios embed.FS

// Scenarios returns the names of the scenarios that the package brings along,
// in order.
func Scenarios() []string {
	files, err := scenarios.ReadDir("scenarios")
	if err != nil {
		panic(err) // they are embedded
	}
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f.Name(), ".toml"))
	}
	slices.Sort(names)
	return names
}

// ReadScenario returns one of [Scenarios] by its name.
func ReadScenario(name string) (Scenario, error) {
	text, err := ScenarioFile(name)
	if err != nil {
		return Scenario{}, err
	}
	return ParseScenario(text)
}

// ScenarioFile returns the text of one of [Scenarios].
func ScenarioFile(name string) ([]byte, error) {
	text, err := scenarios.ReadFile(path.Join("scenarios", name+".toml"))
	if err != nil {
		return nil, fmt.Errorf("scenario %q: none of that name; there are %s", name, strings.Join(Scenarios(), ", "))
	}
	return text, nil
}
