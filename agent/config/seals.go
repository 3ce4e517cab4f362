package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ciglio/internal/strict"
)

// Seals says what watches the cabinet: switches, and sensors on an I²C bus. What was
// a seal once stays one: it is not forgotten when its line is taken out of the file.
type Seals struct {
	Door        string  `toml:"door" doc:"input line of the switch at the door, as the board calls it, \"GPIO5\", or by chip and line, \"gpiochip0-5\"; empty for none"`
	Tilt        string  `toml:"tilt" doc:"the same of the tilt switch in the mounting"`
	Pull        string  `toml:"pull" doc:"of both: up, down or none; empty for what the board has"`
	Open        string  `toml:"open" doc:"what a line shows while its seal is open: high (the switch closes to ground), so that a cut wire is an open seal, or low"`
	Bus         int     `toml:"bus" doc:"number of the I2C bus"`
	Temperature I2CPart `toml:"temperature" doc:"thermometer on the bus with its address: tmp102@0x48, bmp280@0x76 or bme280@0x76; empty for none"`
	Coldest     Celsius `toml:"coldest" doc:"temperature below which the device does not measure"`
	Hottest     Celsius `toml:"hottest" doc:"the same above"`
	Supply      I2CPart `toml:"supply" doc:"monitor of the supply on the bus with its address: ina219@0x40; empty for none"`
	Least       Voltage `toml:"least" doc:"supply below which the device does not measure"`
	Most        Voltage `toml:"most" doc:"the same above"`
}

func defaultSeals() Seals {
	return Seals{Pull: "up", Open: "high", Bus: 1, Coldest: -25e3, Hottest: 70e3, Least: 11e3, Most: 15e3}
}

func (s *Seals) validate(faults *Faults) {
	for _, need := range []struct {
		key string
		ok  bool
		say string
	}{
		{"door", s.Door == "" || len(strings.Fields(s.Door)) == 1, "want one line"},
		{"tilt", s.Tilt == "" || len(strings.Fields(s.Tilt)) == 1, "want one line"},
		{"tilt", s.Tilt == "" || s.Tilt != s.Door, "is the line of the door"},
		{"pull", slices.Contains([]string{"", "up", "down", "none"}, s.Pull), "want up, down or none"},
		{"open", s.Open == "high" || s.Open == "low", "want high or low"},
		{"bus", s.Bus >= 0 && s.Bus <= 255, "want 0 to 255"},
		{"temperature", s.Temperature == I2CPart{} || slices.Contains([]string{"tmp102", "bmp280", "bme280"}, s.Temperature.Model), "want tmp102, bmp280 or bme280"},
		{"hottest", s.Hottest >= s.Coldest+1e3, "want at least 1degC more than seals.coldest"},
		{"supply", s.Supply == I2CPart{} || s.Supply.Model == "ina219" && s.Supply.Address >= 0x40 && s.Supply.Address <= 0x4f, "want ina219 at an address from 0x40 to 0x4f"},
		{"supply", s.Supply == I2CPart{} || s.Supply.Address != s.Temperature.Address, "has the address of the thermometer"},
		{"most", s.Most >= s.Least+100, "want at least 100mV more than seals.least"},
	} {
		if !need.ok {
			faults.Add("seals."+need.key, need.say)
		}
	}
}

// Celsius is a temperature in thousandths of a degree Celsius, written "70degC".
type Celsius int64

// Voltage is a voltage in millivolts, written "12V" or "11500mV".
type Voltage int64

var (
	temperatures = []strict.Unit{of("degC", 1e3)}
	voltages     = []strict.Unit{of("V", 1e3), of("mV", 1)}
)

// UnmarshalText reads a temperature from -60 to 125 degrees.
func (c *Celsius) UnmarshalText(text []byte) error {
	n, err := strict.Bounded("temperature", string(text), temperatures, -60e3, 125e3)
	*c = Celsius(n)
	return err
}

// MarshalText writes what UnmarshalText reads.
func (c Celsius) MarshalText() ([]byte, error) {
	return []byte(strict.Format(int64(c), temperatures)), nil
}

// UnmarshalText reads a voltage from 0 to 26 V.
func (v *Voltage) UnmarshalText(text []byte) error {
	n, err := strict.Bounded("voltage", string(text), voltages, 0, 26e3)
	*v = Voltage(n)
	return err
}

// MarshalText writes what UnmarshalText reads.
func (v Voltage) MarshalText() ([]byte, error) { return []byte(strict.Format(int64(v), voltages)), nil }

// An I2CPart is a part on an I²C bus, written "tmp102@0x48"; zero for none.
type I2CPart struct {
	Model   string
	Address uint16 // 7 bits
}

// UnmarshalText reads a model and an address from 0x08 to 0x77, or nothing.
func (p *I2CPart) UnmarshalText(text []byte) error {
	*p = I2CPart{}
	if len(text) == 0 {
		return nil
	}
	model, address, _ := strings.Cut(string(text), "@0x")
	n, err := strconv.ParseUint(address, 16, 7)
	if err != nil || len(address) != 2 || strings.ToLower(address) != address || n < 0x08 || n > 0x77 || model == "" || strings.ContainsFunc(model, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }) {
		return fmt.Errorf("%q: want a model and its address, such as tmp102@0x48", text)
	}
	*p = I2CPart{model, uint16(n)}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (p I2CPart) MarshalText() ([]byte, error) {
	if p == (I2CPart{}) {
		return nil, nil
	}
	return fmt.Appendf(nil, "%s@0x%02x", p.Model, p.Address), nil
}
