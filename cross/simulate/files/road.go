package files

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"ciglio/cross/simulate"
	"ciglio/cross/simulate/simcam"
	"ciglio/sensor"
	"ciglio/sensor/wav"
)

// kmh prints a speed as a number of km/h.
func kmh(s sensor.Speed) string { return strings.TrimSuffix(s.String(), " km/h") }

// writeTruth writes what is known of every vehicle.
func writeTruth(out io.Writer, road *simulate.Road) error {
	w := csv.NewWriter(out)
	w.Write([]string{"vehicle", "class", "length_m", "axles", "direction", "lane", "passing_s", "enter_s", "leave_s",
		"speed_kmh", "speed_enter_kmh", "speed_leave_kmh", "mean_kmh", "alone", "overlap_s", "plate"})
	for i, v := range road.Truth() {
		length, _, _ := v.Class.Size()
		w.Write([]string{
			strconv.Itoa(i + 1), v.Class.String(), fmt.Sprintf("%.2f", length), strconv.Itoa(len(v.Class.Axles())),
			v.Direction.String(), strconv.Itoa(v.Lane), seconds(int64(v.Passing)), seconds(int64(v.Enter)), seconds(int64(v.Leave)),
			kmh(v.Speed), kmh(v.SpeedAt(v.Enter)), kmh(v.SpeedAt(v.Leave)), kmh(v.MeanSpeed(v.Enter, v.Leave)),
			strconv.FormatBool(v.Alone), seconds(int64(max(v.Overlap, 0))),
			simcam.Plate(simulate.Position{Vehicle: v.Vehicle, Index: i}),
		})
	}
	w.Flush()
	return w.Error()
}

// usualContacts are two axle cables in each lane, 20 and 24 m ahead.
func usualContacts(road *simulate.Road) []simulate.Contacts {
	var all []simulate.Contacts
	for lane := range road.Radar().Lanes {
		all = append(all, simulate.Contacts{Lane: lane + 1, At: []float64{20, 24}, Jitter: 20 * time.Microsecond})
	}
	return all
}

// writeEdges writes the events of the contacts' lines as the kernel numbers
// them: by line, and over the lines of one request.
func writeEdges(out io.Writer, road *simulate.Road, contacts []simulate.Contacts) error {
	if len(contacts) == 0 {
		contacts = usualContacts(road)
	}
	w := csv.NewWriter(out)
	w.Write([]string{"request", "lane", "line", "place_m", "kind", "at_ns", "edge", "line_seqno", "seqno", "vehicle", "axle"})
	for request, c := range contacts {
		kind := "axles"
		if c.Length > 0 {
			kind = "presence"
		}
		touches, err := road.Edges(c)
		if err != nil {
			return err
		}
		for n, t := range touches {
			edge := "falling"
			if t.On {
				edge = "rising"
			}
			w.Write([]string{
				strconv.Itoa(request + 1), strconv.Itoa(c.Lane), strconv.Itoa(t.Contact + 1), fmt.Sprintf("%.3f", c.At[t.Contact]), kind,
				strconv.FormatInt(int64(t.At), 10), edge, strconv.Itoa(int(t.Number)), strconv.Itoa(n + 1),
				strconv.Itoa(t.Vehicle + 1), strconv.Itoa(t.Axle),
			})
		}
	}
	w.Flush()
	return w.Error()
}

// writeSignal writes the radar's signal: I left and Q right, or one channel.
func writeSignal(ctx context.Context, out io.Writer, road *simulate.Road) error {
	radar := road.Radar()
	f := wav.Format{Rate: radar.Rate, Channels: 2, Bits: 16}
	if radar.Real {
		f.Channels = 1
	}
	stream := road.Unpaced(0)
	w, err := wav.NewWriter(out, f, int64(stream.Samples()))
	if err != nil {
		return err
	}
	for {
		b, err := stream.Next(ctx)
		if errors.Is(err, io.EOF) {
			return w.Close()
		}
		if err != nil {
			return err
		}
		if err := w.Write(b.I, b.Q); err != nil {
			return err
		}
	}
}

// writeFrames writes the pictures and when they were taken.
func writeFrames(ctx context.Context, w *folderWriter, road *simulate.Road) error {
	if err := os.Mkdir(filepath.Join(w.dir, "frames"), 0o755); err != nil {
		return err
	}
	camera := simcam.New(road, nil, 0)
	w.file("frames.csv", func(out io.Writer) error {
		table := csv.NewWriter(out)
		table.Write([]string{"file", "number", "at_ns", "exposure_ns"})
		for {
			frame, err := camera.Next(ctx)
			if errors.Is(err, io.EOF) {
				table.Flush()
				return table.Error()
			}
			if err != nil {
				return err
			}
			name := fmt.Sprintf("frames/%06d.jpg", frame.Number)
			if err := os.WriteFile(filepath.Join(w.dir, name), frame.Data, 0o644); err != nil {
				return err
			}
			table.Write([]string{name, strconv.FormatUint(frame.Number, 10), strconv.FormatInt(int64(frame.At), 10), strconv.FormatInt(int64(frame.Exposure), 10)})
			w.result.Frames++
		}
	})
	return w.err
}
