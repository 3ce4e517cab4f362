package life

import (
	"math"
	"slices"
	"sync"
	"time"

	"ciglio/sensor"
)

// CodePace is the finding of a [Pace].
const CodePace = "sensor_pace"

// AboutSamples is what its findings are about.
const AboutSamples = "radar samples"

// MostPace is by how much the rate of the samples may be wrong: a thousandth. A
// speed is wrong by the same share, 0.13 km/h at 130 km/h, a fiftieth of what the
// law takes off. It cannot be less: time daemons turn the clock of the machine
// itself by up to half a thousandth, and a crystal by a tenth of one.
const MostPace = 0.001

// FastPace is the error that a vehicle cannot have had once [Pace.Covered] lies
// behind it.
const FastPace = 0.003

const (
	paceBin   = 500 * time.Millisecond
	paceEnd   = 4                                           // bins whose least delay counts
	PaceSpan  = 20 * time.Second                            // over which the rate is compared
	paceBins  = int(PaceSpan/paceBin) + paceEnd             // that are kept
	paceDrift = time.Duration(MostPace * float64(PaceSpan)) // 20 ms

	// An error of FastPace makes paceDrift in 6.7 s, which the least delay of the
	// 2 s behind them shows, once the bin after them begins.
	paceSoon = 9200 * time.Millisecond
)

// A Pace compares the samples of a stream with the clock of this machine. Samples
// may come late, never early: the least delay within 2 seconds is that of the
// transport, whatever holds the program up meanwhile. Where it grows or falls by
// more than 20 ms within 20 s, the samples do not come at their rate, or some are
// lost: an error of 1 % is found within 5 s, one of 0.3 % within 10 s, one of
// 0.1 % within 22 s. The finding goes when the last 20 s are in order.
type Pace struct {
	rate int

	mu      sync.Mutex
	bins    []paceBinned
	first   uint64      // index of the first sample of the comparison
	next    uint64      // and behind the last one
	covered sensor.Mono // see Covered
	drift   float64     // share by which the rate is wrong, when found
	found   bool
}

// A paceBinned is what half a second shows: the least delay of its samples
// against the rate.
type paceBinned struct {
	from  sensor.Mono
	least time.Duration
}

// NewPace returns a Pace of rate samples a second.
func NewPace(rate int) *Pace { return &Pace{rate: rate} }

// Break says that samples are missing: the comparison begins anew. What was found
// is found no more.
func (p *Pace) Break() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begin()
}

func (p *Pace) begin() { p.bins, p.found = p.bins[:0], false }

// Push says that n samples from the given index on were here in full at the
// instant came. An index that falls, or rises by more than a second, begins anew.
func (p *Pace) Push(index uint64, n int, came sensor.Mono) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if index < p.next || index-p.next > uint64(p.rate) {
		p.begin()
	}
	if len(p.bins) == 0 {
		p.first = index
	}
	p.next = index + uint64(n)
	count := p.next - p.first
	whole, rest := count/uint64(p.rate), count%uint64(p.rate)
	told := time.Duration(whole)*time.Second + time.Duration(rest)*time.Second/time.Duration(p.rate)
	delay := time.Duration(came) - told
	if k := len(p.bins); k == 0 || came.Sub(p.bins[k-1].from) >= paceBin {
		if k >= 2*paceEnd {
			p.compare(came)
		}
		if k == paceBins {
			p.bins = slices.Delete(p.bins, 0, 1)
		}
		p.bins = append(p.bins, paceBinned{came, delay})
		return
	}
	b := &p.bins[len(p.bins)-1]
	b.least = min(b.least, delay)
}

// compare compares the last bins, which are complete, with all before.
func (p *Pace) compare(now sensor.Mono) {
	end := p.leastOf(len(p.bins) - paceEnd)
	var worst time.Duration
	var over time.Duration
	for k := 0; k+2*paceEnd <= len(p.bins); k++ {
		if d := end - p.leastOf(k); d.Abs() > worst.Abs() {
			worst, over = d, p.bins[len(p.bins)-paceEnd].from.Sub(p.bins[k].from)
		}
	}
	p.found = worst.Abs() > paceDrift
	if p.found {
		// Samples that come ever later are too few.
		p.drift = -float64(worst) / float64(over)
		return
	}
	if first := p.bins[0].from; now.Sub(first) >= paceSoon {
		p.covered = now.Add(-paceSoon)
	}
}

// leastOf returns the least delay of the bins from k on.
func (p *Pace) leastOf(k int) time.Duration {
	least := p.bins[k].least
	for _, b := range p.bins[k+1 : k+paceEnd] {
		least = min(least, b.least)
	}
	return least
}

// Covered returns the instant up to which the samples are known to have come at
// their rate, but for [FastPace] or less; 0 when there is none. It lies 9.2 s
// behind while they do.
func (p *Pace) Covered() sensor.Mono {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.covered
}

// Findings says how wrong the pace is; nothing when it is in order, or not known
// yet.
func (p *Pace) Findings() []sensor.Finding {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.found {
		return nil
	}
	args := sensor.Args{"by": sensor.Percent.Of(100*math.Abs(p.drift), 2), "rate": sensor.PerSecond.Of(float64(p.rate), 0)}
	fact := sensor.Fact{Key: "sensor_pace_fast", Words: "they come {by} too fast, by the clock of this machine; {rate:bare} a second are told", Args: args}
	if p.drift < 0 {
		fact = sensor.Fact{Key: "sensor_pace_slow", Words: "they come {by} too slowly, or some are lost, by the clock of this machine; {rate:bare} a second are told", Args: args}
	}
	return []sensor.Finding{{Code: CodePace, About: AboutSamples, Facts: []sensor.Fact{fact}}}
}
