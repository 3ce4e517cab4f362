package agent

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"ciglio/sensor"
	"ciglio/sensor/agd"
	"ciglio/sensor/csr"
	"ciglio/sensor/doppler"
	"ciglio/sensor/iqframe"
	"ciglio/sensor/isys4001"
	"ciglio/sensor/ops243"
	"ciglio/sensor/track"
	"ciglio/sensor/wav"
)

// headSize is how much of a recording is looked at to recognise it: seconds of
// any sensor's output.
const headSize = 64 << 10

// A recorded recording is open: a signal, the reports of a sensor, or what
// crossed contacts.
type recorded struct {
	signal   doppler.Stream
	feed     sensor.Feed
	passages []sensor.Passage
	step     sensor.Speed // of the sensor's speeds; 0 for what package track assumes
	hangs    bool         // the speeds follow from the carrier
	trace    bool         // it is the trace of one passage
}

// A recordingFormat is one form of recordings.
type recordingFormat struct {
	name string
	// fits reports whether the beginning of a recording is of this form. Only
	// what is checked by more than chance fits.
	fits func(head []byte) bool
	open func(r io.Reader, head []byte, carrier int64) (recorded, error)
}

// recordingFormats returns all forms, those that are told most surely first. A
// rate is that of samples that come without one.
func recordingFormats(rate int) []recordingFormat {
	return []recordingFormat{
		{"wav", fitsWAV, openWAV},
		{"trace", func(head []byte) bool { return bytes.HasPrefix(head, []byte(track.TraceHeader)) }, openTrace},
		{"iqframe", fitsIQFrame, openIQFrame},
		{"isys4001", fitsISYS, openISYS},
		{"edges", fitsEdges, openEdges},
		{"agd", fitsAGD, openAGD},
		{"csr", fitsCSR, openCSR},
		{"ops243", fitsOPS243, func(r io.Reader, _ []byte, carrier int64) (recorded, error) {
			return recorded{feed: ops243.NewPlayback(r, ops243.PlaybackOptions{Carrier: carrier, Rate: rate}), hangs: rate > 0}, nil
		}},
	}
}

// parseFormat returns how to open a recording of the format that --format names.
func parseFormat(text string) (func(r *bufio.Reader, carrier int64) (recorded, error), error) {
	name, rate, withRate := strings.Cut(text, "@")
	n, err := strconv.Atoi(rate)
	switch {
	case withRate && err == nil && (name == "iq16le" || name == "real16le"):
		return func(r *bufio.Reader, _ int64) (recorded, error) {
			return openRaw(r, doppler.Format{Rate: n, Complex: name == "iq16le"})
		}, nil
	case withRate && (err != nil || name != "ops243" || n < 1):
	case text == "auto":
		return openAny, nil
	default:
		for _, f := range recordingFormats(n) {
			if f.name == name {
				return func(r *bufio.Reader, carrier int64) (recorded, error) {
					head, err := peek(r)
					if err != nil {
						return recorded{}, err
					}
					return f.open(r, head, carrier)
				}, nil
			}
		}
	}
	return nil, fmt.Errorf("%q: want auto, %s, ops243@RATE, iq16le@RATE or real16le@RATE", text, formatNames())
}

func formatNames() string {
	var names []string
	for _, f := range recordingFormats(0) {
		names = append(names, f.name)
	}
	return strings.Join(names, ", ")
}

// openAny opens a recording whose format its first bytes tell.
func openAny(r *bufio.Reader, carrier int64) (recorded, error) {
	head, err := peek(r)
	if err != nil {
		return recorded{}, err
	}
	for _, f := range recordingFormats(0) {
		if f.fits(head) {
			return f.open(r, head, carrier)
		}
	}
	return recorded{}, fmt.Errorf("none of %s by its first bytes; say --format, for a signal without header with its rate", formatNames())
}

func peek(r *bufio.Reader) ([]byte, error) {
	head, err := r.Peek(headSize)
	switch {
	case len(head) > 0 && (err == nil || errors.Is(err, io.EOF)):
		return head, nil
	case errors.Is(err, io.EOF):
		return nil, errors.New("empty")
	}
	return nil, err
}

// drain reads a feed to its end and returns the number of its cycles.
func drain(f sensor.Feed) (cycles int) {
	for {
		if _, err := f.Next(context.Background()); err != nil {
			return cycles
		}
		cycles++
	}
}

func fitsWAV(head []byte) bool {
	return len(head) >= 4 && slices.Contains([]string{"RIFF", "RF64", "BW64"}, string(head[:4]))
}

func openWAV(r io.Reader, _ []byte, _ int64) (recorded, error) {
	w, err := wav.NewReader(r)
	if err != nil {
		return recorded{}, err
	}
	return recorded{signal: newSamples(w, doppler.Format{Rate: w.Format().Rate, Complex: w.Format().Channels == 2}), hangs: true}, nil
}

// openRaw reads 16-bit little-endian samples without a header.
func openRaw(r io.Reader, f doppler.Format) (recorded, error) {
	channels := 1
	if f.Complex {
		channels = 2
	}
	w, err := wav.NewRawReader(r, wav.Format{Rate: f.Rate, Channels: channels, Bits: 16})
	if err != nil {
		return recorded{}, err
	}
	return recorded{signal: newSamples(w, f), hangs: true}, nil
}

func fitsIQFrame(head []byte) bool {
	_, err := iqframe.NewPlayback(bytes.NewReader(head))
	return err == nil
}

func openIQFrame(r io.Reader, _ []byte, _ int64) (recorded, error) {
	p, err := iqframe.NewPlayback(r)
	if err != nil {
		return recorded{}, err
	}
	return recorded{signal: p, hangs: true}, nil
}

func fitsISYS(head []byte) bool {
	return drain(isys4001.NewPlayback(bytes.NewReader(head), isys4001.PlaybackOptions{})) > 0
}

func openISYS(r io.Reader, _ []byte, _ int64) (recorded, error) {
	return recorded{feed: isys4001.NewPlayback(r, isys4001.PlaybackOptions{}), step: isys4001.Step}, nil
}

// agdTargets counts the messages of targets whose check sum is of the kind.
func agdTargets(head []byte, check agd.Check) int64 {
	p := agd.NewPlayback(bytes.NewReader(head), check)
	drain(p)
	return p.Tally().Used
}

func fitsAGD(head []byte) bool { return agdTargets(head, agd.CRC8)+agdTargets(head, agd.XOR) > 0 }

func openAGD(r io.Reader, head []byte, _ int64) (recorded, error) {
	check := agd.CRC8
	if agdTargets(head, agd.XOR) > agdTargets(head, agd.CRC8) {
		check = agd.XOR
	}
	return recorded{feed: agd.NewPlayback(r, check), step: agd.Step}, nil
}

// fitsCSR wants nine tenths of the bytes to be reports, since nothing else tells
// them from other bytes.
func fitsCSR(head []byte) bool {
	p := csr.NewPlayback(bytes.NewReader(head))
	n := drain(p)
	return n >= 10 && 10*2*n >= 9*len(head)
}

func openCSR(r io.Reader, _ []byte, _ int64) (recorded, error) {
	return recorded{feed: csr.NewPlayback(r), step: sensor.KmH}, nil
}

// fitsOPS243 wants more reports than lines that are none.
func fitsOPS243(head []byte) bool {
	p := ops243.NewPlayback(bytes.NewReader(head), ops243.PlaybackOptions{})
	drain(p)
	n := p.Tally()
	return n.Used > n.Broken
}
