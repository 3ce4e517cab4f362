package files

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"ciglio/cross/simulate"
	"ciglio/cross/simulate/emulator"
	"ciglio/sensor"
	"ciglio/sensor/iqframe"
	"ciglio/sensor/isys4001"
)

// A radar is one device whose bytes are written.
type radar struct {
	file  string
	write func(context.Context, io.Writer) error
}

// radars returns the devices that could stand at the road: their resolution is
// that of the device, their noise that of the scenario.
func radars(road *simulate.Road, s simulate.Scenario) []radar {
	feed := func(every time.Duration, targets int, encode func([]byte, sensor.Cycle) []byte, set func(*simulate.CycleOptions)) func(context.Context, io.Writer) error {
		o := s.Readings
		o.Every, o.Targets = every, targets
		set(&o)
		return func(ctx context.Context, out io.Writer) error { return writeCycles(ctx, out, road.Cycles(o), encode) }
	}
	// A Doppler radar tells targets apart by their speed only.
	speedOnly := func(o *simulate.CycleOptions) {
		o.NoRange, o.NoAngle = true, true
		o.SpeedResolution, o.RangeResolution, o.AngleResolution = max(o.SpeedResolution, sensor.KmH), 0, 0
	}
	all := []radar{
		{"ops243.jsonl", feed(60*time.Millisecond, 4, appendOPS243, speedOnly)},
		{"isys4001.bin", feed(75*time.Millisecond, isys4001.MaxTargets, appendISYS4001, func(*simulate.CycleOptions) {})},
		{"agd.txt", feed(100*time.Millisecond, 32, newAGD(), func(o *simulate.CycleOptions) { o.Numbered = true })},
		{"csr.bin", feed(26*time.Millisecond, 1, appendCSR, speedOnly)},
	}
	if !road.Radar().Real {
		all = append(all, radar{"iqframe.bin", func(ctx context.Context, out io.Writer) error { return writeIQFrames(ctx, out, road) }})
	}
	return all
}

func writeCycles(ctx context.Context, out io.Writer, feed sensor.Feed, encode func([]byte, sensor.Cycle) []byte) error {
	var b []byte
	for {
		c, err := feed.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		b = encode(b[:0], c)
		if _, err := out.Write(b); err != nil {
			return err
		}
	}
}

// appendOPS243 appends a report as package ops243 sets the sensor: JSON with
// unit, time, magnitude and speed in m/s, approaching positive.
func appendOPS243(b []byte, c sensor.Cycle) []byte {
	const farthest = 62_100 // mm/s at 20,000 samples a second
	var magnitudes, speeds []string
	for _, r := range c.Readings {
		mm := (int64(r.Speed)*10000 + 180) / 360 / 10
		if mm == 0 || mm > farthest {
			continue
		}
		sign := ""
		if r.Direction == sensor.Receding {
			sign = "-"
		}
		speeds = append(speeds, fmt.Sprintf("%s%d.%03d", sign, mm/1000, mm%1000))
		magnitudes = append(magnitudes, strconv.FormatFloat(magnitude(r.Level), 'f', 2, 64))
	}
	if len(speeds) == 0 {
		speeds, magnitudes = []string{"0.000"}, []string{"0"}
	}
	list := func(values []string) string {
		if len(values) == 1 {
			return strconv.Quote(values[0])
		}
		return `["` + strings.Join(values, `","`) + `"]`
	}
	at := int64(c.At) / 1e6
	return fmt.Appendf(b, `{"unit":"mps","time":"%d.%03d","magnitude":%s,"speed":%s}`+"\r\n", at/1000, at%1000, list(magnitudes), list(speeds))
}

// magnitude returns the ratio of amplitudes of a level in tenths of a decibel of
// full scale, over −80 dB. It only multiplies, so that it is the same everywhere.
func magnitude(tenths int16) float64 {
	const step = 1.0115794542598985 // 0.1 dB
	m := 1.0
	for range min(max(int(tenths)+800, 0), 1600) {
		m = float64(m * step)
	}
	return m
}

// positive shifts a level of full scale into the range of devices whose levels
// are never negative.
func positive(tenths int16) int { return min(max(int(tenths)+1000, 0), 9999) }

// appendISYS4001 appends a target list of output 1 in 32-bit form.
func appendISYS4001(b []byte, c sensor.Cycle) []byte {
	const reach, fastest = 150_000, 250 * sensor.KmH // mm
	data := []byte{1, 0}
	for _, r := range c.Readings {
		if r.Range > reach || r.Speed > fastest {
			continue
		}
		velocity := (int64(r.Speed)*10000 + 180) / 360 / 10
		if r.Direction == sensor.Receding {
			velocity = -velocity
		}
		data[1]++
		data = binary.BigEndian.AppendUint16(data, uint16(positive(r.Level)*10))
		data = binary.BigEndian.AppendUint32(data, uint32(velocity))
		data = binary.BigEndian.AppendUint32(data, uint32(r.Range*1000))
		data = binary.BigEndian.AppendUint32(data, uint32(r.Angle))
	}
	// A frame without a length, from the sensor to the host.
	const delimiter, host, device, targets, end = 0xa2, 0x01, 0x80, 0xda, 0x16
	from := len(b) + 1
	b = append(append(b, delimiter, host, device, targets), data...)
	sum := byte(0)
	for _, v := range b[from:] {
		sum += v
	}
	return append(b, sum, end)
}

// newAGD returns how to append the messages of a cycle, and a heartbeat after
// every 5 s without one.
func newAGD() func([]byte, sensor.Cycle) []byte {
	var encoder emulator.AGD
	said := sensor.Mono(-1 << 62) // the radar's time begins with a heartbeat
	return func(b []byte, c sensor.Cycle) []byte {
		hundredths := int64(c.At) / 1e7 % 86400_00
		at := fmt.Sprintf("%05d.%02d", hundredths/100, hundredths%100)
		for i := range c.Readings {
			r := &c.Readings[i]
			direction, bearing, side, angle := "R", "000.0", '+', r.Angle/10
			if r.Direction == sensor.Approaching {
				direction, bearing = "A", "180.0"
			}
			if angle < 0 {
				side, angle = '-', -angle
			}
			speed, distance, level := (int(r.Speed)+5)/10, r.Range/100, positive(r.Level)
			b = append(b, encoder.Message(fmt.Sprintf("04,%s,%02d,%s,%03d.%d,K,%03d.%d,%c%02d.%d,%s,P,%03d.%d", at, r.Target%100, direction,
				speed/10, speed%10, distance/10, distance%10, side, angle/10, angle%10, bearing, level/10, level%10))...)
			said = c.At
		}
		if c.At.Sub(said) >= 5*time.Second {
			b, said = append(b, encoder.Message("HB,"+at)...), c.At
		}
		return b
	}
}

// appendCSR appends a report of the strongest target, in whole km/h.
func appendCSR(b []byte, c sensor.Cycle) []byte {
	const approaching, receding, nothing = 0xf9, 0xf8, 0xf7
	for _, r := range c.Readings {
		if speed := r.Speed / sensor.KmH; speed >= 2 && speed <= 240 {
			if r.Direction == sensor.Approaching {
				return append(b, approaching, byte(speed))
			}
			return append(b, receding, byte(speed))
		}
	}
	return append(b, nothing, 0)
}

// writeIQFrames writes the signal in blocks of 200 pairs.
func writeIQFrames(ctx context.Context, out io.Writer, road *simulate.Road) error {
	stream := road.Unpaced(0)
	block := iqframe.Block{Rate: road.Radar().Rate}
	var frame []byte
	flush := func() (err error) {
		if len(block.I) == 0 {
			return nil
		}
		if frame, err = block.Encode(frame[:0]); err != nil {
			return err
		}
		block.Index += uint64(len(block.I))
		block.Sequence++
		block.I, block.Q, block.Clipped = block.I[:0], block.Q[:0], false
		_, err = out.Write(frame)
		return err
	}
	for {
		b, err := stream.Next(ctx)
		if errors.Is(err, io.EOF) {
			return flush()
		}
		if err != nil {
			return err
		}
		for n := range b.I {
			i, q := int16(b.I[n]*32768), int16(b.Q[n]*32768) // exact: the samples are steps of 16 bits
			block.I, block.Q = append(block.I, i), append(block.Q, q)
			const low, high = -32768, 32767
			block.Clipped = block.Clipped || i == low || i == high || q == low || q == high
			if len(block.I) < 200 {
				continue
			}
			if err := flush(); err != nil {
				return err
			}
		}
	}
}
