//go:build linux

package port

import (
	"fmt"
	"strconv"
	"strings"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"
	"periph.io/x/host/v3/sysfs"
)

// An SPI is the connection to one slave, by periph's own driver.
type SPI struct {
	spi.Conn
	port spi.PortCloser
}

// Close releases the slave's device file. Nothing may be in transfer.
func (s *SPI) Close() error { return s.port.Close() }

// IsSPI reports whether the name of a device file is one of an SPI slave:
// "/dev/spidev", the bus, a dot and the chip select.
func IsSPI(name string) bool {
	_, _, ok := slave(name)
	return ok
}

func slave(name string) (bus, chip int, ok bool) {
	rest, ok := strings.CutPrefix(name, "/dev/spidev")
	b, c, dotted := strings.Cut(rest, ".")
	bus, errBus := strconv.Atoi(b)
	chip, errChip := strconv.Atoi(c)
	return bus, chip, ok && dotted && errBus == nil && errChip == nil && min(bus, chip) >= 0 && name == fmt.Sprintf("/dev/spidev%d.%d", bus, chip)
}

// DialSPI opens the slave of a device file such as "/dev/spidev0.0" in mode 0
// with eight bits a word, at up to hz bits a second.
func DialSPI(name string, hz int) (*SPI, error) {
	bus, chip, ok := slave(name)
	if !ok {
		return nil, fmt.Errorf("SPI slave %q: want /dev/spidev, bus, dot, chip", name)
	}
	p, err := sysfs.NewSPI(bus, chip)
	if err != nil {
		return nil, fmt.Errorf("SPI slave %s: %w", name, err)
	}
	c, err := p.Connect(physic.Frequency(hz)*physic.Hertz, spi.Mode0, 8)
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("SPI slave %s: %w", name, err)
	}
	return &SPI{c, p}, nil
}
