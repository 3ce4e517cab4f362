package doppler

import (
	"bytes"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/doppler/chain"
	"ciglio/sensor/doppler/geometry"
	"ciglio/sensor/wav"
)

const (
	tapeTime = 24 * time.Second // of signal that is held in memory

	// A trace begins traceLead before the track and ends traceTail after it,
	// but lasts no longer than maxTrace: of a longer track it holds the near
	// end, where the measuring zone lies.
	traceLead = 2500 * time.Millisecond
	traceTail = 350 * time.Millisecond
	maxTrace  = 12 * time.Second
)

// A tape holds the last samples in 16 bits, as the trace is written.
type tape struct {
	format Format
	i, q   []float32
	first  uint64 // index of the oldest sample since the last restart
	next   uint64
}

func newTape(f Format) *tape {
	n := int(tapeTime.Seconds()) * f.Rate
	t := &tape{format: f, i: make([]float32, n)}
	if f.Complex {
		t.q = make([]float32, n)
	}
	return t
}

func (t *tape) restart(index uint64) { t.first, t.next = index, index }

// write adds samples.
func (t *tape) write(i, q []float32) {
	n := uint64(len(t.i))
	for k, v := range i {
		at := (t.next + uint64(k)) % n
		t.i[at] = v
		if t.format.Complex {
			t.q[at] = q[k]
		}
	}
	t.next += uint64(len(i))
	if t.next-t.first > n {
		t.first = t.next - n
	}
}

// trace writes the signal of a passage as WAV. It begins where a frame began,
// so that whoever measures it again sees the same frames.
func (p *Processor) trace(c *chain.Chain, w geometry.Measurement) sensor.Trace {
	rate := int64(p.format.Rate)
	samples := func(d time.Duration) int64 { return int64(d) * rate / int64(time.Second) }
	begin := c.At(w.First) - c.Middle - samples(traceLead)
	end := c.At(w.Last) + c.Middle + samples(traceTail)
	limit := samples(maxTrace)
	if end-begin > limit {
		if w.AtEnd {
			begin = end - limit
		} else {
			end = begin + limit
		}
	}
	oldest, newest := int64(p.tape.first-p.origin), int64(p.tape.next-p.origin)
	begin, end = max(begin, oldest), min(end, newest)
	grid := p.chains[0].Step
	begin = (begin + grid - 1) / grid * grid
	if begin >= end {
		return sensor.Trace{}
	}
	channels := 1
	if p.format.Complex {
		channels = 2
	}
	var out bytes.Buffer
	out.Grow(64 + int(end-begin)*2*channels)
	f, err := wav.NewWriter(&out, wav.Format{Rate: p.format.Rate, Channels: channels, Bits: 16}, end-begin)
	for at := begin; err == nil && at < end; {
		from := int((p.origin + uint64(at)) % uint64(len(p.tape.i)))
		n := min(len(p.tape.i)-from, int(end-at), 4096)
		var q []float32
		if p.format.Complex {
			q = p.tape.q[from : from+n]
		}
		err = f.Write(p.tape.i[from:from+n], q)
		at += int64(n)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		panic("doppler: trace: " + err.Error()) // writing to memory what was counted cannot fail
	}
	offset := func(at int64) sensor.Mono {
		return p.clock.at + sensor.Mono(p.span(int64(p.origin)+at-int64(p.clock.index)))
	}
	return sensor.Trace{
		Format:  "audio/wav",
		Data:    out.Bytes(),
		Samples: end - begin,
		First:   offset(begin),
		Last:    offset(end - 1),
	}
}
