package emulator

import (
	"context"
	"io"
	"sync"
	"time"

	"ciglio/sensor"
)

// A CSR answers as a Chuansu radar in continuous mode does; see package
// ciglio/sensor/csr. The zero value works. Its fields are set before Serve.
type CSR struct {
	Version  string // of the software; "" means "CSR-I V2.3"
	Angle    byte   // angle correction
	Triggers bool   // the work mode is not continuous: nothing is seen, nothing sent
	Stubborn bool   // the data format cannot be set

	line line

	mu      sync.Mutex
	set     bool // in set-up
	format  byte
	reports []sensor.Cycle
}

// Serve answers commands until conn fails or ctx ends, and sends a report every
// 26 ms: the first of those given to Report, or that nothing is seen. It closes
// conn when it is an [io.Closer] and ctx ends.
func (x *CSR) Serve(ctx context.Context, conn io.ReadWriter) error {
	x.format = '0'
	return x.line.serve(ctx, conn, func() error {
		ctx, cancel := context.WithCancel(ctx)
		var reporting sync.WaitGroup
		defer reporting.Wait()
		defer cancel()
		reporting.Go(func() { x.send(ctx) })
		var command []byte
		one := make([]byte, 1)
		for {
			if _, err := conn.Read(one); err != nil {
				return err
			}
			if command = append(command, one[0]); command[0] != 0xfa || len(command) > 5 {
				command = nil
			}
			if len(command) == 5 {
				answer := x.answer(command)
				command = nil
				if err := x.line.write(answer); err != nil {
					return err
				}
			}
		}
	})
}

func (x *CSR) send(ctx context.Context) {
	tick := time.NewTicker(26 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if x.line.write(x.report()) != nil {
				return
			}
		}
	}
}

func (x *CSR) report() []byte {
	x.mu.Lock()
	defer x.mu.Unlock()
	var r sensor.Reading
	if len(x.reports) > 0 {
		if len(x.reports[0].Readings) > 0 {
			r = x.reports[0].Readings[0]
		}
		x.reports = x.reports[1:]
	}
	speed := byte(r.Speed / sensor.KmH)
	switch {
	case x.set, x.Triggers && speed == 0:
		return nil
	case x.format == '0':
		return []byte{speed}
	case r.Direction == sensor.Approaching:
		return []byte{0xf9, speed}
	case r.Direction == sensor.Receding:
		return []byte{0xf8, speed}
	}
	return []byte{0xf7, speed}
}

func (x *CSR) answer(command []byte) []byte {
	x.mu.Lock()
	defer x.mu.Unlock()
	done := []byte{0xfa, 0x32, 0x30, 0x31, 0xfb}
	failed := []byte{0xfa, 0x32, 0x31, 0x31, 0xfb}
	switch code := command[1]; {
	case code == 0x31:
		x.set = true
	case code == 0x32 && x.set:
		x.set = false
	case code == 0x38 && x.set && !x.Stubborn:
		x.format = command[2]
	case code == 0x38 && x.set:
	case code == 0x3f && x.set:
		version := x.Version
		if version == "" {
			version = "CSR-I V2.3"
		}
		return append(append([]byte{0xfa, byte(0x31 + len(version)), 0x30}, version...), 0xfb)
	case code == 0x3d && command[2] == 0x34 && x.set:
		mode := byte('1')
		if x.Triggers {
			mode = '2'
		}
		return []byte{0xfa, 0x3d, 0x30, mode, 0, x.Angle, '5', x.format, 5, 20, 0, 0, 0, 0, 0, 0xfb}
	default:
		return failed
	}
	return done
}

// Report gives a cycle, of which the first reading is sent in the next interval
// that is free.
func (x *CSR) Report(c sensor.Cycle) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.reports = append(x.reports, c)
}

// Send sends bytes as they are.
func (x *CSR) Send(b []byte) error { return x.line.write(b) }

// Restart begins anew as after a loss of power: with the bytes of a start, and
// the data format of the factory.
func (x *CSR) Restart() error {
	x.mu.Lock()
	x.set, x.format, x.reports = false, '0', nil
	x.mu.Unlock()
	return x.line.write([]byte{0xfe, 0xfd, 0xfd, 0xfe})
}

// Pause stops the reports, as a radar that hangs does.
func (x *CSR) Pause() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.set = true
}
