package trust

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"ciglio/sensor"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// open returns facts for which the gate is open.
func open() Facts {
	always := Permit{Words: "n. 1/2026", From: noon.AddDate(-1, 0, 0)}
	return Facts{
		At: noon,
		Calibration: &Calibration{
			ID: "A-117", Serial: "S1",
			NotBefore: noon.AddDate(0, -6, 0), NotAfter: noon.AddDate(0, 6, 0),
			Approval: always, Decree: always, Register: always,
		},
		SensorSerial: "S1",
		Clock:        sensor.ClockState{Synchronised: true, Offset: 10 * time.Millisecond, Uncertainty: 5 * time.Millisecond},
		ClockBound:   100 * time.Millisecond,
		Room:         true,
	}
}

func TestGate(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Facts)
		want   []string
	}{
		{"all in order", func(*Facts) {}, nil},
		{"no calibration", func(f *Facts) { f.Calibration = nil }, []string{"calibration_missing"}},
		{"certificate of another sensor", func(f *Facts) { f.SensorSerial = "S2" }, []string{"calibration_foreign"}},
		{"last instant of the certificate", func(f *Facts) { f.At = f.Calibration.NotAfter }, nil},
		{"one nanosecond after it", func(f *Facts) { f.At = f.Calibration.NotAfter.Add(1) }, []string{"calibration_expired"}},
		{"first instant", func(f *Facts) { f.At = f.Calibration.NotBefore }, nil},
		{"one nanosecond before it", func(f *Facts) { f.At = f.Calibration.NotBefore.Add(-1) }, []string{"calibration_early"}},
		{"no approval", func(f *Facts) { f.Calibration.Approval = Permit{} }, []string{"approval"}},
		{"decree not yet in force", func(f *Facts) { f.Calibration.Decree.From = noon.Add(1) }, []string{"decree"}},
		{"decree on its last instant", func(f *Facts) { f.Calibration.Decree.To = noon }, nil},
		{"decree ended", func(f *Facts) { f.Calibration.Decree.To = noon.Add(-1) }, []string{"decree"}},
		{"struck off the register", func(f *Facts) { f.Calibration.Register.To = noon.Add(-time.Hour) }, []string{"register"}},
		{"clock at its bound", func(f *Facts) { f.Clock.Offset = -90 * time.Millisecond }, nil},
		{"clock beyond it, behind UTC", func(f *Facts) { f.Clock.Offset = -90*time.Millisecond - 1 }, []string{"clock_bound"}},
		{"clock uncertain", func(f *Facts) { f.Clock.Uncertainty = time.Second }, []string{"clock_bound"}},
		{"holdover within the bound", func(f *Facts) { f.Clock.Synchronised, f.Clock.LockAge = false, time.Hour }, nil},
		{"never locked", func(f *Facts) { f.Clock.Synchronised = false }, []string{"clock_unsynchronised"}},
		{"no time source", func(f *Facts) { f.ClockError = errors.New("gone") }, []string{"clock_unknown"}},
		{"self-test failed", func(f *Facts) { f.SelfTest = []sensor.Finding{{Words: "no camera"}} }, []string{"self_test"}},
		{"two seals open", func(f *Facts) { f.OpenSeals = []string{"door", "lens"} }, []string{"seal_open", "seal_open"}},
		{"other software", func(f *Facts) { f.Software = errors.New("not the sealed one") }, []string{"software"}},
		{"outbox full", func(f *Facts) { f.Room = false }, []string{"store_full"}},
		{"every cause is told", func(f *Facts) { f.Calibration, f.Room, f.SelfTest = nil, false, []sensor.Finding{{Words: "x"}} },
			[]string{"calibration_missing", "self_test", "store_full"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := open()
			c.change(&f)
			var got []string
			for _, cause := range Check(f) {
				got = append(got, cause.Code)
				if strings.Contains(cause.Words, "%!") || cause.Words == "" {
					t.Errorf("words of %s: %q", cause.Code, cause.Words)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("causes = %q, want %q", got, c.want)
			}
		})
	}
}
