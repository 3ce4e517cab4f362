package emulator

import (
	"context"
	"io"
	"math"
	"sync"
	"time"

	"ciglio/sensor"
)

// An ISYS4001 answers as an iSYS-4001 of InnoSenT does; see package
// ciglio/sensor/isys4001. The zero value works. Its fields are set before Serve.
type ISYS4001 struct {
	Name    string        // "" means "iSYS-4001"
	Address byte          // 0 means 0x80
	Ignored byte          // an output setting that acknowledges and stays as it was
	Old     bool          // does not know the range setting
	Echo    bool          // returns what it hears, as a two-wire line does
	Deaf    bool          // answers nothing
	Stuck   bool          // measures once, and gives that list ever after
	Spoil   int           // breaks the check sum of every so many-th answer; 0 for none
	Prefix  []byte        // before each answer
	Delay   time.Duration // before each answer
	Torn    int           // writes this many bytes at a time; 0 for whole frames

	line line

	mu      sync.Mutex
	running bool
	silent  bool
	sensor  map[byte]uint16 // settings, by number
	output  map[byte]uint16
	cycles  []sensor.Cycle
	current sensor.Cycle
	answers int
}

// Serve answers commands until conn fails or ctx ends. Each target list asked for
// is the first of the cycles given to Report, or empty. It begins with the
// sensor's own settings. It closes conn when it is an [io.Closer] and ctx ends.
func (x *ISYS4001) Serve(ctx context.Context, conn io.ReadWriter) error {
	x.Restart()
	return x.line.serve(ctx, conn, func() error {
		commands := make(chan []byte, 64)
		var working sync.WaitGroup
		defer working.Wait()
		defer close(commands)
		working.Go(func() {
			for c := range commands {
				x.answer(c)
			}
		})
		head := make([]byte, 4)
		for {
			if _, err := io.ReadFull(conn, head[:1]); err != nil {
				return err
			}
			if head[0] != 0x68 {
				continue
			}
			if _, err := io.ReadFull(conn, head[1:]); err != nil {
				return err
			}
			rest := make([]byte, int(head[1])+2)
			if _, err := io.ReadFull(conn, rest); err != nil {
				return err
			}
			commands <- append(append([]byte(nil), head...), rest...)
		}
	})
}

// Restart begins anew with the settings of the sensor's own memory: the short
// range, one target of all, and stopped.
func (x *ISYS4001) Restart() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.running = false
	x.sensor = map[byte]uint16{0x04: 5, 0x10: 0}
	x.output = map[byte]uint16{0x08: 0, 0x09: 500, 0x0A: 100, 0x0B: 2500, 0x0C: 2, 0x0D: 694, 0x0E: 3, 0x15: 1, 0x16: 1}
}

// Start begins to measure, as a sensor does that is set to after a start.
func (x *ISYS4001) Start() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.running = true
}

// Silence makes it answer nothing from now on.
func (x *ISYS4001) Silence() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.silent = true
}

// Report queues a cycle. A reading with [sensor.FlagClipped] makes it one of an
// overdriven input.
func (x *ISYS4001) Report(c sensor.Cycle) {
	x.mu.Lock()
	defer x.mu.Unlock()
	c.Readings = append([]sensor.Reading(nil), c.Readings...)
	x.cycles = append(x.cycles, c)
}

// Send sends bytes as they are.
func (x *ISYS4001) Send(b []byte) error { return x.line.write(b) }

func (x *ISYS4001) answer(c []byte) {
	if x.Echo {
		x.line.write(c)
	}
	address := x.Address
	if address == 0 {
		address = 0x80
	}
	if x.Deaf || c[4] != address && c[4] != 0 {
		return
	}
	if x.Delay > 0 {
		time.Sleep(x.Delay)
	}
	x.mu.Lock()
	if x.silent {
		x.mu.Unlock()
		return
	}
	answer := x.obey(c[6], c[7:len(c)-2], address)
	x.answers++
	if x.Spoil > 0 && x.answers%x.Spoil == 0 {
		answer[len(answer)-2]++
	}
	x.mu.Unlock()
	answer = append(append([]byte(nil), x.Prefix...), answer...)
	step := len(answer)
	if x.Torn > 0 {
		step = x.Torn
	}
	for len(answer) > 0 {
		n := min(step, len(answer))
		if x.line.write(answer[:n]) != nil {
			return
		}
		answer = answer[n:]
	}
}

// obey carries out a command and returns the whole frame of the answer.
func (x *ISYS4001) obey(function byte, data []byte, address byte) []byte {
	failed := x.frame(address, 0xFD, nil)
	settings := x.sensor
	if function >= 0xD4 {
		settings = x.output
	}
	switch {
	case function == 0xD0:
		name := x.Name
		if name == "" {
			name = "iSYS-4001"
		}
		return x.frame(address, function, append([]byte(name), 0))
	case function == 0xD1 && len(data) == 2:
		x.running = data[1] == 0
	case (function == 0xD2 || function == 0xD4) && len(data) == 2:
		v, ok := settings[data[1]]
		if !ok || x.Old && function == 0xD2 && data[1] == 0x10 {
			return failed
		}
		return x.frame(address, function, []byte{byte(v >> 8), byte(v)})
	case (function == 0xD3 || function == 0xD5) && len(data) == 4:
		_, ok := settings[data[1]]
		if !ok || x.running && function == 0xD3 || x.Old && function == 0xD3 && data[1] == 0x10 {
			return failed
		}
		if function == 0xD3 || data[1] != x.Ignored {
			settings[data[1]] = uint16(data[2])<<8 | uint16(data[3])
		}
	case function == 0xDA && len(data) == 2 && x.running:
		return x.list(address, data[0], data[1])
	default:
		return failed
	}
	return x.frame(address, function, nil)
}

// list returns the target list of the next cycle.
func (x *ISYS4001) list(address, output, form byte) []byte {
	switch {
	case len(x.cycles) > 0:
		x.current, x.cycles = x.cycles[0], x.cycles[1:]
	case !x.Stuck:
		x.current = sensor.Cycle{}
	}
	data := []byte{output, 0}
	for _, r := range x.current.Readings {
		if r.Has(sensor.FlagClipped) {
			data = []byte{output, 0xFF}
			break
		}
		v := float64(r.Speed) / 0.36 // mm/s
		switch {
		case math.Abs(v)/100 < float64(x.output[0x0C]) || data[1] == 35 || data[1] == 1 && x.output[0x16] != 0:
			continue
		case r.Direction == sensor.Receding:
			v = -v
		}
		data[1]++
		if form == 0x20 {
			data = append(data, high(int64(r.Level)*10, 2)...)
			data = append(data, high(int64(math.Round(v)), 4)...)
			data = append(data, high(int64(r.Range)*1000, 4)...)
			data = append(data, high(int64(r.Angle), 4)...)
			continue
		}
		data = append(data, byte(r.Level/10))
		data = append(data, high(int64(math.Round(v/10)), 2)...)
		data = append(data, high(int64(r.Range)/10, 2)...)
		data = append(data, high(int64(r.Angle), 2)...)
	}
	if form != 0x20 {
		return x.frame(address, 0xDA, data)
	}
	body := append([]byte{0x01, address, 0xDA}, data...)
	return append(append([]byte{0xA2}, body...), total(body), 0x16)
}

// frame returns a frame with a length, from the sensor to its master.
func (x *ISYS4001) frame(address, function byte, data []byte) []byte {
	body := append([]byte{0x01, address, function}, data...)
	n := byte(len(body))
	return append(append([]byte{0x68, n, n, 0x68}, body...), total(body), 0x16)
}

// total is the sum of bytes modulo 256.
func total(b []byte) (sum byte) {
	for _, c := range b {
		sum += c
	}
	return sum
}

// high returns the low n bytes of v, the highest first.
func high(v int64, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(v >> (8 * (n - 1 - i)))
	}
	return b
}
