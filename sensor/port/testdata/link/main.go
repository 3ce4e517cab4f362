// Link is a program of everything that a sensor may be connected by. It is built
// for each target by the test of package port, and never run.
package main

import (
	"fmt"
	"os"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"
	"periph.io/x/host/v3/sysfs"

	"ciglio/sensor/port"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	if err := port.RegisterAll(); err != nil {
		return err
	}
	if err := port.NewPin("gpiochip0", 17).Register(); err != nil {
		return err
	}
	var (
		spiPort spi.PortCloser
		i2cBus  i2c.BusCloser
		err     error
	)
	if spiPort, err = sysfs.NewSPI(0, 0); err != nil {
		return err
	}
	if _, err = spiPort.Connect(10*physic.MegaHertz, spi.Mode0, 8); err != nil {
		return err
	}
	if i2cBus, err = sysfs.NewI2C(1); err != nil {
		return err
	}
	return i2cBus.Close()
}
