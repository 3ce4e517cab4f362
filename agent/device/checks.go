package device

import (
	"fmt"

	"ciglio/sensor"
)

// This file looks at the parts: each method is a [check].

// checks returns the looks at every part of the device, in the order in which
// their findings are told.
func (d *Device) checks() []check {
	return []check{d.checkStore, d.checkSensor, d.checkSecond, d.checkCamera, d.checkAim, d.checkStrobe, d.checkCabinet}
}

func (d *Device) checkStore(sensor.Mono) []sensor.Finding {
	if err := d.recorder.failed(); err != nil {
		return []sensor.Finding{{Code: findingStore, Words: fmt.Sprintf("records cannot be stored: %v", err)}}
	}
	return nil
}

func (d *Device) checkSensor(now sensor.Mono) (all []sensor.Finding) {
	model := d.o.Source.Identity().Model
	if d.o.Live != nil {
		if err := d.o.Live.Fault(); err != nil {
			all = append(all, sensor.Finding{Code: findingSensor, Words: err.Error()})
		}
		all = append(all, d.o.Live.Findings(now)...)
	} else if at, err := d.sensorFault.last(); err != nil && now.Sub(at) <= patience {
		all = append(all, sensor.Finding{Code: findingSensor, Words: fmt.Sprintf("sensor %s: %v", model, err)})
	}
	if err := d.needsSecond(); err != nil {
		all = append(all, sensor.Finding{Code: findingAlone, Words: fmt.Sprintf("sensor %s: %v", model, err)})
	}
	return all
}

func (d *Device) checkSecond(now sensor.Mono) []sensor.Finding {
	if d.o.Second == nil {
		return nil
	}
	if err := d.o.Second.Fault(); err != nil {
		return []sensor.Finding{{Code: findingSecond, Words: fmt.Sprintf("second sensor: %v", err)}}
	}
	return d.o.Second.Findings(now)
}

func (d *Device) checkCamera(now sensor.Mono) []sensor.Finding {
	newest, ok := d.ring.Newest()
	if ok && now.Sub(newest) <= patience {
		return d.life.Findings(now)
	}
	words := fmt.Sprintf("camera %s gives no pictures", d.o.Camera.Info().Model)
	if at, err := d.cameraFault.last(); err != nil && at >= newest {
		words = err.Error()
	}
	return []sensor.Finding{{Code: findingCamera, Words: words}}
}
