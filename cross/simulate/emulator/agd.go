package emulator

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"ciglio/sensor"
)

// An AGD answers as an AGD 350 does, as far as is public; see package
// ciglio/sensor/agd. The zero value works. Its fields are set before Serve.
type AGD struct {
	Version string            // answer to AGD; "" means "AGD350-101 V1.2"
	Serial  string            // "" means "35000123"
	XOR     bool              // check sums are the other kind
	Fixed   map[string]string // settings that keep this value whatever is set
	Refused map[string]bool   // settings that the sensor does not have

	line     line
	settings map[string]string
}

// Serve answers commands until conn fails or ctx ends. It closes conn when it is
// an [io.Closer] and ctx ends.
func (x *AGD) Serve(ctx context.Context, conn io.ReadWriter) error {
	x.settings = map[string]string{"ANGLE": "22.0", "CT": "C", "DIR": "A", "HBP": "60", "SU": "M"}
	return x.line.serve(ctx, conn, func() error {
		r := bufio.NewReaderSize(conn, 256)
		for {
			command, err := r.ReadString('\r')
			if err != nil {
				return err
			}
			if err := x.line.write([]byte(x.answer(strings.TrimSpace(command)))); err != nil {
				return err
			}
		}
	})
}

func (x *AGD) answer(command string) string {
	or := func(v, other string) string {
		if v == "" {
			return other
		}
		return v
	}
	serial := or(x.Serial, "35000123") + "*"
	name, value, set := strings.Cut(strings.TrimPrefix(command, "*"), "=")
	name, asked := strings.CutSuffix(name, "?")
	_, known := x.settings[name]
	switch {
	case command == "AGD":
		return "#AGD " + or(x.Version, "AGD350-101 V1.2") + "\r"
	case command == "*SN?":
		return fmt.Sprintf("#SN?%s%02X\r", serial, xorSum(serial))
	case !known || x.Refused[name] || set == asked:
		return "#ERROR unknown command\r"
	case set:
		x.settings[name] = value
		return "#" + name + "=" + value + "\r"
	}
	return "#" + name + "?" + or(x.Fixed[name], x.settings[name]) + "\r"
}

// Report sends a target message for each reading, or a heartbeat when there is
// none. The time in it is that of the cycle.
func (x *AGD) Report(c sensor.Cycle) error {
	hundredths := int64(c.At) / 1e7 % 86400_00
	time := fmt.Sprintf("%05d.%02d", hundredths/100, hundredths%100)
	if len(c.Readings) == 0 {
		return x.line.write(x.Message("HB," + time))
	}
	for k := range c.Readings {
		r := &c.Readings[k]
		letters := "RA"
		if r.Has(sensor.FlagSimulated) {
			letters = "YX"
		}
		approaching, bearing := 0, 0
		if r.Direction == sensor.Approaching {
			approaching, bearing = 1, 180
		}
		tenths := func(v int) string { return fmt.Sprintf("%03d.%d", v/10, v%10) }
		sign, angle := '+', int(r.Angle)/10
		if angle < 0 {
			sign, angle = '-', -angle
		}
		err := x.line.write(x.Message(fmt.Sprintf("04,%s,%02d,%c,%s,K,%s,%c%02d.%d,%s,P,%s", time, r.Target%100, letters[approaching],
			tenths(int(r.Speed)/10), tenths(int(r.Range)/100), sign, angle/10, angle%10, tenths(10*bearing), tenths(int(r.Level)))))
		if err != nil {
			return err
		}
	}
	return nil
}

// Message puts a text between STX and ETX, with its check sum.
func (x *AGD) Message(text string) []byte {
	sum := crc8("\x02" + text + "*")
	if x.XOR {
		sum = xorSum(text)
	}
	return fmt.Appendf(nil, "\x02%s*%02X\x03", text, sum)
}

// Unplug closes the connection that is served.
func (x *AGD) Unplug() { x.line.unplug() }

// Send sends bytes as they are.
func (x *AGD) Send(b []byte) error { return x.line.write(b) }

func xorSum(text string) (sum byte) {
	for _, c := range []byte(text) {
		sum ^= c
	}
	return sum
}

// crc8 has the polynomial x⁸+x²+x+1.
func crc8(text string) byte {
	crc := 0
	for _, c := range []byte(text) {
		crc ^= int(c) << 8
		for range 8 {
			if crc <<= 1; crc&0x10000 != 0 {
				crc ^= 0x10700
			}
		}
	}
	return byte(crc >> 8)
}
