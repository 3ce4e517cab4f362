package track

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"ciglio/sensor"
)

// TraceFormat is the media type of a trace.
const TraceFormat = "text/csv"

// TraceHeader is the first line of a trace.
const TraceHeader = "at_ns,speed_kmh,direction,range_m,angle_deg,level_db,target,flags"

const traceColumns = 8

// words are the flags and marks of a reading in a trace.
var words = [...]struct {
	flag sensor.Flag
	mark mark
	word string
}{
	{flag: sensor.FlagClipped, word: "clipped"},
	{flag: sensor.FlagSimulated, word: "simulated"},
	{flag: sensor.FlagFinal, word: "final"},
	{mark: markLost, word: "lost"},
	{mark: markCrowded, word: "crowded"},
	{mark: markZone, word: "zone"},
}

// trace writes the readings of a track, one a line, see ReadTrace.
func trace(points []point) sensor.Trace {
	if len(points) == 0 {
		return sensor.Trace{}
	}
	b := append(make([]byte, 0, 96+80*len(points)), TraceHeader+"\n"...)
	for i := range points {
		b = points[i].append(b)
	}
	return sensor.Trace{Format: TraceFormat, Data: b, Samples: int64(len(points)), First: points[0].at, Last: points[len(points)-1].at}
}

func (p *point) append(b []byte) []byte {
	b = strconv.AppendInt(b, int64(p.at), 10)
	b = appendFixed(append(b, ','), int64(p.speed), 2)
	b = append(append(b, ','), p.direction.String()...)
	if b = append(b, ','); p.flags&sensor.FlagRange != 0 {
		b = appendFixed(b, int64(p.rng), 3)
	}
	if b = append(b, ','); p.flags&sensor.FlagAngle != 0 {
		b = appendFixed(b, int64(p.angle), 2)
	}
	b = appendFixed(append(b, ','), int64(p.level), 1)
	b = strconv.AppendInt(append(b, ','), int64(p.target), 10)
	b = append(b, ',')
	space := false
	for _, w := range words {
		if p.flags&w.flag != 0 || p.marks&w.mark != 0 {
			if space {
				b = append(b, ' ')
			}
			b, space = append(b, w.word...), true
		}
	}
	return append(b, '\n')
}

// appendFixed appends n as a number with the given decimals.
func appendFixed(b []byte, n int64, decimals int) []byte {
	if n < 0 {
		b, n = append(b, '-'), -n
	}
	unit := int64(1)
	for range decimals {
		unit *= 10
	}
	b = append(strconv.AppendInt(b, n/unit, 10), '.')
	for unit /= 10; unit > 0; unit /= 10 {
		b = append(b, byte('0'+n/unit%10))
	}
	return b
}

// ReadTrace reads the trace of a passage and returns one cycle a reading. Pushed
// into a Tracker with the options of the sensor they give the passage again,
// with all that its own readings tell; other vehicles are not in a trace, and
// so neither Targets nor sensor.ReasonTwoTargets come back.
//
// A trace is CSV (RFC 4180, lines end with LF). The first line names the
// columns:
//
//	at_ns,speed_kmh,direction,range_m,angle_deg,level_db,target,flags
//	81002450000000,63.05,approaching,41.200,-3.50,21.5,7,zone
//
// Instants are those of the machine's monotonic clock. Speeds are as the sensor
// gave them, along the line of sight, not corrected for any angle, with two
// decimals; a range has three and an angle two, or they are empty; a level has
// one. The target is the sensor's own number, 0 for none. Flags are words with
// spaces between them: clipped, simulated and final as the sensor said; lost
// where reports before the reading are missing, crowded where another vehicle
// was within the resolution of the sensor, zone where the speed rests on it.
// These are no certified values.
func ReadTrace(r io.Reader) ([]sensor.Cycle, error) {
	in := csv.NewReader(bufio.NewReader(io.LimitReader(r, maxPoints*256)))
	in.FieldsPerRecord, in.ReuseRecord = traceColumns, true
	head, err := in.Read()
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	if strings.Join(head, ",") != TraceHeader {
		return nil, fmt.Errorf("trace: first line %q, want %q", strings.Join(head, ","), TraceHeader)
	}
	var all []sensor.Cycle
	for {
		fields, err := in.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err == nil && len(all) == maxPoints {
			err = fmt.Errorf("more than %d readings", maxPoints)
		}
		if err != nil {
			return nil, fmt.Errorf("trace: %w", err)
		}
		c, err := parsePoint(fields)
		if err != nil {
			line, _ := in.FieldPos(0)
			return nil, fmt.Errorf("trace: line %d: %w", line, err)
		}
		all = append(all, c)
	}
}

func parsePoint(fields []string) (sensor.Cycle, error) {
	var r sensor.Reading
	at, err := strconv.ParseInt(fields[0], 10, 64)
	fixed := func(i, decimals, bits int) int64 {
		n, e := parseFixed(fields[i], decimals, bits)
		if err == nil && e != nil {
			err = e
		}
		return n
	}
	r.At, r.Speed = sensor.Mono(at), sensor.Speed(fixed(1, 2, 32))
	if e := r.Direction.UnmarshalText([]byte(fields[2])); err == nil {
		err = e
	}
	if fields[3] != "" {
		r.Range, r.Flags = int32(fixed(3, 3, 32)), r.Flags|sensor.FlagRange
	}
	if fields[4] != "" {
		r.Angle, r.Flags = int32(fixed(4, 2, 32)), r.Flags|sensor.FlagAngle
	}
	r.Level = int16(fixed(5, 1, 16))
	target, e := strconv.ParseInt(fields[6], 10, 32)
	if err == nil {
		err = e
	}
	r.Target = int(target)
	lost := false
	for word := range strings.FieldsSeq(fields[7]) {
		known := false
		for _, w := range words {
			if w.word == word {
				known, r.Flags = true, r.Flags|w.flag
				lost = lost || w.mark == markLost
			}
		}
		if !known && err == nil {
			err = fmt.Errorf("unknown flag %q", word)
		}
	}
	if err != nil {
		return sensor.Cycle{}, err
	}
	return sensor.Cycle{At: r.At, Readings: []sensor.Reading{r}, Lost: lost}, nil
}

// parseFixed reads what appendFixed writes.
func parseFixed(text string, decimals, bits int) (int64, error) {
	whole, fraction, _ := strings.Cut(text, ".")
	if len(fraction) != decimals || strings.ContainsAny(fraction, "+-") {
		return 0, fmt.Errorf("%q: want a number with %d decimals", text, decimals)
	}
	n, err := strconv.ParseInt(whole+fraction, 10, bits)
	if err != nil {
		return 0, fmt.Errorf("%q: want a number with %d decimals", text, decimals)
	}
	return n, nil
}
