package tamper

import (
	"fmt"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/devices/v3/bmxx80"
	"periph.io/x/devices/v3/ina219"
	"periph.io/x/devices/v3/tmp102"
)

// Thermometers returns the models that [Temperature] knows.
func Thermometers() []string { return []string{"tmp102", "bmp280", "bme280"} }

// A Bus gives the I²C bus, and an error while it is not there. It opens it once.
type Bus func() (i2c.Bus, error)

// Temperature returns the reading of a thermometer on the bus in thousandths of a
// degree Celsius. It is opened at the first reading, and tried again at each while
// it is not there. A reading beyond what the model measures is an error: so a
// sensor answers that has lost its supply.
func Temperature(bus Bus, model string, addr uint16) func() (int64, error) {
	var sense physic.SenseEnv
	open := func() error {
		b, err := bus()
		if err != nil {
			return err
		}
		switch model {
		case "tmp102":
			sense, err = orNone(tmp102.NewI2C(b, addr, nil))
		case "bmp280", "bme280":
			sense, err = orNone(bmxx80.NewI2C(b, addr, &bmxx80.DefaultOpts))
		default:
			err = fmt.Errorf("thermometer %q: want one of %v", model, Thermometers())
		}
		return err
	}
	return func() (int64, error) {
		if sense == nil {
			if err := open(); err != nil {
				return 0, fmt.Errorf("%s at address %#x: %w", model, addr, err)
			}
		}
		var e physic.Env
		if err := sense.Sense(&e); err != nil {
			return 0, fmt.Errorf("%s at address %#x: %w", model, addr, err)
		}
		const coldest, hottest = -40_000, 125_000
		milli := int64((e.Temperature - physic.ZeroCelsius) / physic.MilliKelvin)
		if milli < coldest || milli > hottest {
			return 0, fmt.Errorf("%s at address %#x: reads %d.%03d degC, which it cannot measure", model, addr, milli/1000, max(milli, -milli)%1000)
		}
		return milli, nil
	}
}

// orNone keeps a pointer to nothing from being an interface of something.
func orNone[T physic.SenseEnv](d T, err error) (physic.SenseEnv, error) {
	if err != nil {
		return nil, err
	}
	return d, nil
}

// Supply returns the voltage that an INA219 on the bus reads, in thousandths of a
// volt. It is opened as [Temperature] is.
func Supply(bus Bus, addr uint16) func() (int64, error) {
	var dev *ina219.Dev
	return func() (int64, error) {
		failed := func(err error) (int64, error) { return 0, fmt.Errorf("ina219 at address %#x: %w", addr, err) }
		if dev == nil {
			b, err := bus()
			if err != nil {
				return failed(err)
			}
			opened, err := ina219.New(b, &ina219.Opts{Address: int(addr)})
			if err != nil {
				return failed(err)
			}
			dev = opened
		}
		p, err := dev.Sense()
		if err != nil {
			return failed(err)
		}
		return int64(p.Voltage / physic.MilliVolt), nil
	}
}
