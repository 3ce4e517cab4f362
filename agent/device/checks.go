package device

import "ciglio/sensor"

// This file looks at the parts: each method is a [check].

// checks returns the looks at every part of the device, in the order in which
// their findings are told.
func (d *Device) checks() []check {
	return []check{d.checkStore, d.checkSensor, d.checkSecond, d.checkCamera, d.checkAim, d.checkStrobe, d.checkCabinet}
}

func (d *Device) checkStore(sensor.Mono) []sensor.Finding {
	if err := d.recorder.failed(); err != nil {
		return []sensor.Finding{{Code: findingStore, About: "records cannot be stored", Facts: sensor.Told(err.Error())}}
	}
	return nil
}

func (d *Device) checkSensor(now sensor.Mono) (all []sensor.Finding) {
	model := d.o.Source.Identity().Model
	if d.o.Live != nil {
		if err := d.o.Live.Fault(); err != nil {
			all = append(all, sensor.Finding{Code: findingSensor, Facts: sensor.Told(err.Error())})
		}
		all = append(all, d.o.Live.Findings(now)...)
	} else if at, err := d.sensorFault.last(); err != nil && now.Sub(at) <= patience {
		all = append(all, sensor.Finding{Code: findingSensor, About: "sensor " + model, Facts: sensor.Told(err.Error())})
	}
	if err := d.needsSecond(); err != nil {
		all = append(all, sensor.Finding{Code: findingAlone, About: "sensor " + model, Facts: sensor.Told(err.Error())})
	}
	return all
}

func (d *Device) checkSecond(now sensor.Mono) []sensor.Finding {
	if d.o.Second == nil {
		return nil
	}
	if err := d.o.Second.Fault(); err != nil {
		return []sensor.Finding{{Code: findingSecond, About: "second sensor", Facts: sensor.Told(err.Error())}}
	}
	return d.o.Second.Findings(now)
}

func (d *Device) checkCamera(now sensor.Mono) []sensor.Finding {
	newest, ok := d.ring.Newest()
	if ok && now.Sub(newest) <= patience {
		return d.life.Findings(now)
	}
	if at, err := d.cameraFault.last(); err != nil && at >= newest {
		return []sensor.Finding{{Code: findingCamera, Facts: sensor.Told(err.Error())}}
	}
	return []sensor.Finding{{Code: findingCamera, Facts: []sensor.Fact{{Key: "camera_none", Words: "camera {model} gives no pictures",
		Args: sensor.Args{"model": d.o.Camera.Info().Model}}}}}
}
