package agent

import (
	"bufio"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ciglio/sensor"
)

// crossing writes the edges of a car with two axles, 2.5 m apart, over two
// cables at 20 m and 24 m, approaching at 20 m/s.
func crossing() []string {
	rows := []string{edgesHead}
	for axle := range 2 {
		for line, place := range []string{"24.000", "20.000"} {
			at := int64(axle)*125_000_000 + int64(line)*200_000_000
			number := []int{2, 1}[line]
			rows = append(rows,
				fmt.Sprintf("1,3,%d,%s,axles,%d,rising,%d", number, place, at, 2*axle+1),
				fmt.Sprintf("1,3,%d,%s,axles,%d,falling,%d", number, place, at+8_000_000, 2*axle+2))
		}
	}
	slices.SortStableFunc(rows[1:], func(a, b string) int {
		at := func(row string) (n int64) {
			fmt.Sscan(strings.Split(row, ",")[5], &n)
			return n
		}
		return int(at(a) - at(b))
	})
	return rows
}

func openText(text string) (recorded, error) {
	return openAny(bufio.NewReaderSize(strings.NewReader(text), headSize), 0)
}

func TestRecordedContactsGiveASpeed(t *testing.T) {
	rows := crossing()
	r, err := openText(strings.Join(rows, "\n"))
	if err != nil || len(r.passages) != 1 {
		t.Fatalf("%v, %+v", err, r.passages)
	}
	p := r.passages[0]
	if !p.Valid() || p.Speed != 72*sensor.KmH || p.Direction != sensor.Approaching || p.Lane != 3 || p.Readings != 2 {
		t.Errorf("%+v", p)
	}
	// The kernel lost an event on one line: its numbers say so.
	lost := strings.Join(slices.DeleteFunc(rows, func(row string) bool {
		return strings.Contains(row, ",2,24.000,axles,125000000,rising,")
	}), "\n")
	r, err = openText(lost)
	if err != nil || len(r.passages) != 1 || !slices.Contains(r.passages[0].Reasons, sensor.ReasonLostEdge) {
		t.Errorf("%v, %+v", err, r.passages)
	}
}

func TestRecordedContactsThatMakeNoSense(t *testing.T) {
	const good = "\n1,1,1,20.000,axles,0,rising,1"
	for _, c := range []struct{ why, rows, want string }{
		{"a number that is none", "\n1,1,1,20.000,axles,x,rising,1", `line 2: strconv.ParseInt: parsing "x"`},
		{"a kind that is none", "\n1,1,1,20.000,cable,0,rising,1", `contacts of kind "cable"`},
		{"an edge that is none", "\n1,1,1,20.000,axles,0,up,1", `edge "up"`},
		{"a place that is none", "\n1,1,1,NaN,axles,0,rising,1", `place_m "NaN"`},
		{"a number of 0", "\n1,1,1,20.000,axles,0,rising,0", "line_seqno 0"},
		{"a contact that moves", good + "\n1,1,1,21.000,axles,5,falling,2", "contact 1 is at 20000 mm and at 21000 mm"},
		{"a lane that changes", good + "\n1,2,2,24.000,axles,5,rising,1", "group 1 is in lane 1"},
		{"other columns", strings.Repeat(",x", 3) + good, "wrong number of fields"},
		{"one contact", good, "contacts of group 1"},
		{"a line cut short", good + "\n1,1,2", "wrong number of fields"},
	} {
		t.Run(c.why, func(t *testing.T) {
			_, err := openText(edgesHead + c.rows)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func FuzzEdges(f *testing.F) {
	f.Add(strings.Join(crossing(), "\n"))
	f.Add(edgesHead + "\n1,1,1,20.000,presence,0,rising,1\n1,1,2,24,presence,9,rising,4294967295")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := openEdges(strings.NewReader(text), nil, 0)
		if err != nil {
			return
		}
		for _, p := range r.passages {
			if p.End < p.Start || p.Valid() && p.Speed <= 0 {
				t.Errorf("%+v", p)
			}
		}
	})
}
