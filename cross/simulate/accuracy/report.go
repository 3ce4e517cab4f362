package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	"ciglio/sensor"
	"ciglio/sensor/plot"
)

// A tally sums up outcomes. Its errors are those of the passages that were
// found.
type tally struct {
	vehicles                         int
	found, marked, discarded, missed int
	markedOff, markedWithin          int // marked ones with a wrong speed; those within 2 u
	errors                           []float64
	within                           int // errors of at most 2 u
}

func (t *tally) add(o *Outcome) {
	t.vehicles++
	switch o.Fate {
	case Missed:
		t.missed++
		return
	case Discarded:
		t.discarded++
		return
	case Marked:
		t.marked++
		if o.Wrong() {
			t.markedOff++
		}
		if o.covered() {
			t.markedWithin++
		}
	case Found:
		t.found++
		t.errors = append(t.errors, o.Error)
		if o.covered() {
			t.within++
		}
	}
}

// covered reports whether the error is at most twice the uncertainty.
func (o *Outcome) covered() bool { return math.Abs(o.Error) <= 2*float64(o.Passage.Budget.Total())/100 }

// tallyOf sums up those outcomes that satisfy every condition.
func (r *Result) tallyOf(conditions ...func(*Outcome) bool) tally {
	var t tally
	for i := range r.Outcomes {
		o := &r.Outcomes[i]
		if !slices.ContainsFunc(conditions, func(c func(*Outcome) bool) bool { return !c(o) }) {
			t.add(o)
		}
	}
	return t
}

// steady holds for vehicles that keep their speed, whose errors are exact.
func steady(o *Outcome) bool { return len(o.Truth.Phases) == 0 }

// byItself holds for vehicles that no other met in the beam.
func byItself(o *Outcome) bool { return o.Truth.Alone }

func (t *tally) mean() float64 {
	var sum float64
	for _, e := range t.errors {
		sum += e
	}
	return sum / float64(len(t.errors))
}

// deviation is the standard deviation about the mean.
func (t *tally) deviation() float64 {
	mean, square := t.mean(), 0.0
	for _, e := range t.errors {
		square += (e - mean) * (e - mean)
	}
	return math.Sqrt(square / float64(max(len(t.errors)-1, 1)))
}

// quantile is the size of error that the given share of them does not exceed.
func (t *tally) quantile(share float64) float64 {
	sizes := make([]float64, len(t.errors))
	for i, e := range t.errors {
		sizes[i] = math.Abs(e)
	}
	slices.Sort(sizes)
	return sizes[max(int(math.Ceil(share*float64(len(sizes))))-1, 0)]
}

// figures are the columns of the errors.
func (t *tally) figures() string {
	if len(t.errors) == 0 {
		return "| | | | |"
	}
	return fmt.Sprintf("| %+.3f | %.3f | %.2f | %s |", t.mean(), t.deviation(), t.quantile(0.999), percent(t.within, len(t.errors)))
}

func percent(n, of int) string {
	if of == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(of))
}

// bands are the speeds of the table by speed, in km/h.
var bands = []float64{1, 5, 10, 20, 50, 100, 150, 200, 250, 300, 350}

// WriteReport writes the report of a run in Markdown. Command is how to write it
// again.
func (r *Result) WriteReport(w io.Writer, command string) error {
	all := r.tallyOf(steady)
	p := &printer{w: w}
	p.print(head, command, r.Seconds/3600)
	p.print("| | |\n| --- | ---: |\n")
	whole := r.tallyOf()
	p.print("| vehicles | %d |\n", whole.vehicles)
	p.print("| found: a valid passage, no other target | %d, %s |\n", whole.found, percent(whole.found, whole.vehicles))
	p.print("| marked: a valid passage with other targets | %d, %s |\n", whole.marked, percent(whole.marked, whole.vehicles))
	p.print("| discarded, with the reason | %d, %s |\n", whole.discarded, percent(whole.discarded, whole.vehicles))
	p.print("| missed | %d, %s |\n", whole.missed, percent(whole.missed, whole.vehicles))
	lone := r.tallyOf(byItself)
	p.print("| found, of the vehicles that were alone in the beam | %d of %d, %s |\n", lone.found, lone.vehicles, percent(lone.found, lone.vehicles))
	for _, kind := range kinds {
		p.print("| **%s** | **%d** |\n", kind, r.count(kind))
	}
	high := r.tallyOf(tooHigh)
	p.print("| speeds found that are too high by more than 1 km/h and 1 %% | %d |\n", high.found)
	if all.found > 0 {
		p.print("| error of the speeds found, mean | %+.3f km/h |\n| standard deviation | %.3f km/h |\n| 99.9 %% are not larger than | %.2f km/h |\n| at most twice the stated uncertainty | %s |\n",
			all.mean(), all.deviation(), all.quantile(0.999), percent(all.within, all.found))
	}
	p.print("| marked passages off by more than 1 km/h and 1 %%, of the vehicle nearest in time | %d |\n| at most twice the stated uncertainty | %s |\n",
		all.markedOff, percent(all.markedWithin, all.marked))
	r.writeSealed(p)
	p.print("\n## By class\n\n%s", byClass)
	for _, name := range r.classNames() {
		t := r.tallyOf(func(o *Outcome) bool { return o.Class == name })
		p.print("| %s | %s | %d | %d | %d | %d | %d | %d %s\n", name, describeClass(name), t.vehicles, t.found, t.marked, t.markedOff, t.discarded, t.missed, t.figures())
	}
	r.writeReach(p)
	p.print("\n## By speed\n\n%s", bySpeed)
	for i := 1; i < len(bands); i++ {
		in := func(o *Outcome) bool {
			v := float64(o.Truth.Speed) / 100
			return v >= bands[i-1] && v < bands[i]
		}
		t, errors := r.tallyOf(in, byItself), r.tallyOf(in, steady)
		p.print("| %g to %g | %d | %d | %d | %d | %d %s\n", bands[i-1], bands[i], t.vehicles, t.found, t.marked, t.discarded, t.missed, errors.figures())
	}
	p.print("\n## Discarded, by reason\n\n| reason | passages |\n| --- | ---: |\n")
	for _, reason := range sensor.Reasons() {
		t := r.tallyOf(func(o *Outcome) bool { return o.Fate == Discarded && slices.Contains(o.Passage.Reasons, reason) })
		if t.vehicles > 0 {
			p.print("| `%s` | %d |\n", reason.Code(), t.vehicles)
		}
	}
	p.print("| discarded passages that belong to no vehicle, or to one that has another | %d |\n", r.Spare)
	p.print("%s", pictures)
	if len(r.Faults) > 0 {
		p.print("\n## What must not occur, and did\n\nThe farthest off come first. Each is replayed by its class and seed:\n`go run ./cross/simulate/accuracy -class CLASS -replay SEED`.\n\n")
		if len(r.Sealed.Faults) > 0 {
			p.print("Sealed, with loops that confirm:\n\n")
			r.Sealed.writeFaults(p)
			p.print("\nThe radar alone:\n\n")
		}
		r.writeFaults(p)
	}
	return p.err
}

func tooHigh(o *Outcome) bool { return o.Fate == Found && o.Wrong() && o.Error > 0 }

// writeSealed tells what a device with loops would have sealed.
func (r *Result) writeSealed(p *printer) {
	s := r.Sealed
	found, lone := s.tallyOf(), s.tallyOf(byItself)
	p.print("\n## With loops in every lane\n\n%s", withLoops)
	p.print("| | |\n| --- | ---: |\n")
	p.print("| sealed, of those that the radar finds alone | %d of %d, %s |\n", found.found, r.tallyOf().found, percent(found.found, r.tallyOf().found))
	p.print("| sealed, of the vehicles that were alone in the beam | %d of %d, %s |\n", lone.found, lone.vehicles, percent(lone.found, lone.vehicles))
	for _, kind := range kinds {
		p.print("| **%s** | **%d** |\n", kind, s.count(kind))
	}
	high := s.tallyOf(tooHigh)
	all := s.tallyOf(steady)
	p.print("| speeds that are too high by more than 1 km/h and 1 %% | %d |\n", high.found)
	p.print("| error, mean | %+.3f km/h |\n| standard deviation | %.3f km/h |\n| 99.9 %% are not larger than | %.2f km/h |\n", all.mean(), all.deviation(), all.quantile(0.999))
	p.print("\n| not sealed, because | passages |\n| --- | ---: |\n")
	for _, why := range slices.Sorted(maps.Keys(r.Refused)) {
		p.print("| %s | %d |\n", why, r.Refused[why])
	}
}

// writeFaults lists the faults, the farthest off first.
func (r *Result) writeFaults(p *printer) {
	worst := slices.Clone(r.Faults)
	slices.SortStableFunc(worst, func(a, b Fault) int { return cmp.Compare(b.Off, a.Off) })
	for i, f := range worst {
		if i == mostFaults {
			p.print("- and %d more\n", len(r.Faults)-i)
			break
		}
		p.print("- %v\n", f)
	}
}

const mostFaults = 60

// count returns how many faults there are of a kind.
func (r *Result) count(kind string) int {
	n := 0
	for _, f := range r.Faults {
		if f.Kind == kind {
			n++
		}
	}
	return n
}

// classNames returns the classes of the outcomes, in order.
func (r *Result) classNames() []string {
	var names []string
	for _, o := range r.Outcomes {
		if !slices.Contains(names, o.Class) {
			names = append(names, o.Class)
		}
	}
	return names
}

// WritePlots writes the pictures of the report into a folder.
func (r *Result) WritePlots(folder string) error {
	var errors []float64
	var points, us []plot.XY
	for i := range r.Outcomes {
		o := &r.Outcomes[i]
		if o.Fate != Found || !steady(o) {
			continue
		}
		v := float64(o.Truth.Speed) / 100
		errors = append(errors, o.Error)
		points = append(points, plot.XY{X: v, Y: o.Error, Red: !o.covered()})
		us = append(us, plot.XY{X: v, Y: 2 * float64(o.Passage.Budget.Total()) / 100})
	}
	return cmp.Or(
		file(filepath.Join(folder, "errors.svg"), func(w io.Writer) error {
			return plot.Chart{Title: "Error of the speeds found", XName: "error, km/h", YName: "number",
				X: [2]float64{-2, 2}, Y: [2]float64{0.5, max(float64(len(errors)), 10)}, LogY: true}.WriteHistogram(w, errors, 160)
		}),
		file(filepath.Join(folder, "speed.svg"), func(w io.Writer) error {
			return plot.Chart{Title: "Error over speed; band: twice the median uncertainty; red: beyond its own", XName: "speed, km/h", YName: "km/h",
				X: [2]float64{1, 350}, Y: [2]float64{-4, 4}, LogX: true}.WritePoints(w, points, medians(us))
		}),
	)
}

// medians returns the median of Y in steps of X.
func medians(of []plot.XY) []plot.XY {
	slices.SortFunc(of, func(a, b plot.XY) int { return cmp.Compare(a.X, b.X) })
	var all []plot.XY
	for n := max(len(of)/40, 5); len(of) >= n; of = of[n:] {
		some := slices.Clone(of[:n])
		slices.SortFunc(some, func(a, b plot.XY) int { return cmp.Compare(a.Y, b.Y) })
		all = append(all, plot.XY{X: of[n/2].X, Y: some[n/2].Y})
	}
	return all
}

func file(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return cmp.Or(write(f), f.Close())
}

// A printer keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) print(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

const head = `# Accuracy on simulated roads

What the Doppler chain makes of vehicles whose true speed is known, on roads
that ` + "`cross/simulate`" + ` makes: every class of vehicle, alone and in company,
with rain, tones, mains, clipping, fading and the faults of cheap sensors. The
roads are drawn from one seed; the result does not depend on the machine's cores.

    %s

rewrites this page: %.1f hours of signal. What the chain measures on real roads
is in [recordings.md](recordings.md), and what it does not find, and why, in
[accuracy-limits.md](accuracy-limits.md).

A passage belongs to a vehicle by time and direction, never by speed, so a wrong
speed shows as an error. Only a passage that is *found*, valid and without other
targets, could accuse a driver; the four lines in bold should be 0. No radar that
tells neither range nor angle gets there alone, since two vehicles of one speed
look to it like one long one, so a device does not measure with such a radar
unless a second sensor confirms: see [second-speed.md](second-speed.md) and the
second table. *Wrong speed*
is off by more than 1 km/h and 1 %%. *Wrong assignment* is the speed of another
vehicle, or one that counts no other target though another vehicle could be seen
in the beam for a second of its track. *Twice* is a second such passage of one
vehicle, *invented* one that no vehicle explains. Of a vehicle whose speed changes
the error is what lies beyond the speeds that it had where it is measured; it
counts in its own line only.

`

const withLoops = `What a device would have sealed whose second speed comes from two loops in each
lane, 10 and 14 m ahead, by the rule of [second-speed.md](second-speed.md): one
vehicle crossed them where this one must have, at a speed within 3 % or 2 km/h,
and no other vehicle that was in the beam crossed any loop. The same faults are
counted, of these passages alone.

`

const byClass = `Errors in km/h of the speeds found. Of two vehicles that pass at one instant the
time does not tell which one a marked passage belongs to: *off* counts those that
would be wrong of the nearer one.

| class | what | vehicles | found | marked | off | discarded | missed | mean | st. dev. | 99.9 % | within 2 u |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
`

const bySpeed = `Counts of the vehicles that were alone; errors in km/h of all speeds found of
vehicles that held theirs.

| km/h | alone | found | marked | discarded | missed | mean | st. dev. | 99.9 % | within 2 u |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
`

const pictures = `
![histogram of the errors](accuracy/errors.svg)

![errors over speed](accuracy/speed.svg)
`
