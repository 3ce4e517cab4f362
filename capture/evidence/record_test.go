package evidence

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"ciglio/sensor"
)

func TestEveryKindRoundTrips(t *testing.T) {
	for k := range Kind(100) {
		if k != KindViolation && BodyFields(k) == nil {
			if err := (&Record{Kind: k}).Validate(); err == nil {
				t.Errorf("%v: validates", k)
			}
			continue
		}
		r := ofKind(t, k)
		b, err := r.Marshal()
		if err != nil {
			t.Errorf("%v: %v", k, err)
			continue
		}
		got, err := Unmarshal(b)
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%v: %+v, %v\nwant %+v", k, got, err, r)
		}
	}
}

// TestFinerTimesAreCut shows what happens to a time finer than the format.
func TestFinerTimesAreCut(t *testing.T) {
	r := violation(t)
	zone := time.FixedZone("CET", 3600)
	r.UTC = r.UTC.Add(999).In(zone)
	r.Calibration.NotAfter = r.Calibration.NotAfter.Add(999 * time.Millisecond).In(zone)
	r.Frames[0].Exposure += 999
	got := must(Unmarshal(must(r.Marshal())(t)))(t)
	if !reflect.DeepEqual(got, violation(t)) {
		t.Errorf("got %+v", got)
	}
}

func TestValidateAtTheEdges(t *testing.T) {
	long := func(n int) string { return strings.Repeat("a", n) }
	for _, test := range []struct {
		name   string
		change func(*Record)
		want   error // nil: valid
	}{
		{"the largest numbers", func(r *Record) {
			r.Epoch, r.Seq, r.Mono = math.MaxInt64, math.MaxInt64, math.MaxInt64
			r.CounterClass, r.CounterValue = math.MaxInt64, math.MaxInt64
		}, nil},
		{"seq beyond 63 bits", func(r *Record) { r.Seq = math.MaxInt64 + 1 }, ErrRange},
		{"counter beyond 63 bits", func(r *Record) { r.CounterValue = math.MaxUint64 }, ErrRange},
		{"mono before boot", func(r *Record) { r.Mono = -1 }, ErrRange},
		{"the least clock offset", func(r *Record) { r.Clock.Offset = math.MinInt64 }, nil},
		{"negative uncertainty of the clock", func(r *Record) { r.Clock.Uncertainty = -1 }, ErrRange},
		{"the clock starts in 1970 without a battery", func(r *Record) { r.UTC = time.Unix(0, 0) }, nil},
		{"before 1970", func(r *Record) { r.UTC = time.Unix(-1, 0) }, ErrRange},
		{"no time at all", func(r *Record) { r.UTC = time.Time{} }, ErrRange},
		{"last microsecond of 9999", func(r *Record) { r.UTC = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) }, nil},
		{"year 10000", func(r *Record) { r.UTC = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, ErrRange},
		{"north pole", func(r *Record) { r.Site.Latitude = 900_000_000 }, nil},
		{"beyond the north pole", func(r *Record) { r.Site.Latitude = 900_000_001 }, ErrRange},
		{"south pole", func(r *Record) { r.Site.Latitude = -900_000_000 }, nil},
		{"date line", func(r *Record) { r.Site.Longitude = -1_800_000_000 }, nil},
		{"beyond the date line", func(r *Record) { r.Site.Longitude = 1_800_000_001 }, ErrRange},
		{"heading 359", func(r *Record) { r.Site.Heading = 359 }, nil},
		{"heading 360 is 0", func(r *Record) { r.Site.Heading = 360 }, ErrRange},
		{"longest id", func(r *Record) { r.Site.ID = long(64) }, nil},
		{"id too long", func(r *Record) { r.Site.ID = long(65) }, ErrRange},
		{"no site id", func(r *Record) { r.Site.ID = "" }, ErrRange},
		{"longest road", func(r *Record) { r.Site.Road = long(MaxText) }, nil},
		{"road too long", func(r *Record) { r.Site.Road = long(MaxText + 1) }, ErrRange},
		{"length counts bytes", func(r *Record) { r.Site.Road = strings.Repeat("é", 129) }, ErrRange},
		{"accents and other scripts", func(r *Record) { r.Site.Road = "Straße Üđ 東" }, nil},
		{"text with a line end", func(r *Record) { r.Site.Road = "SP\n14" }, ErrText},
		{"text that is not UTF-8", func(r *Record) { r.Site.Road = "\xff" }, ErrText},
		{"fastest speed", func(r *Record) { r.Measurement.Speed = 99_999 }, nil},
		{"faster", func(r *Record) { r.Measurement.Speed = 100_000 }, ErrRange},
		{"negative speed", func(r *Record) { r.Measurement.Speed = -1 }, ErrRange},
		{"negative part of the budget", func(r *Record) { r.Measurement.Budget.Clock = -1 }, ErrRange},
		{"direction 3", func(r *Record) { r.Measurement.Direction = 3 }, ErrRange},
		{"a reserved flag", func(r *Record) { r.Measurement.Flags = 1 }, ErrRange},
		{"second speed by an unknown method", func(r *Record) { r.Measurement.Second = &Second{Method: 3} }, ErrRange},
		{"a speed of contacts", func(r *Record) { r.Measurement.Second = confirmed(r.Measurement) }, nil},
		{"a speed of contacts that saw nothing", func(r *Record) { r.Measurement.Second = &Second{Method: MethodContacts} }, ErrMissingKey},
		{"a speed by pictures with contacts", func(r *Record) {
			r.Measurement.Second = confirmed(r.Measurement)
			r.Measurement.Second.Method = MethodDisplacement
		}, ErrRange},
		{"five frames", func(r *Record) { r.Frames = append(r.Frames, r.Frames[2], r.Frames[2]) }, nil},
		{"six frames", func(r *Record) { r.Frames = append(r.Frames, r.Frames[2], r.Frames[2], r.Frames[2]) }, ErrRange},
		{"no frame of the photo position", func(r *Record) { r.Frames[1].Role = "before" }, ErrRange},
		{"an empty frame", func(r *Record) { r.Frames[1].Length = 0 }, ErrRange},
		{"largest frame", func(r *Record) { r.Frames[1].Length = MaxFrame }, nil},
		{"frame too large", func(r *Record) { r.Frames[1].Length = MaxFrame + 1 }, ErrRange},
		{"exposure unknown", func(r *Record) { r.Frames[1].Exposure = 0 }, nil},
		{"exposure of a minute", func(r *Record) { r.Frames[1].Exposure = time.Minute }, nil},
		{"negative exposure", func(r *Record) { r.Frames[1].Exposure = -time.Microsecond }, ErrRange},
		{"trace too large", func(r *Record) { r.Trace.Length = MaxTrace + 1 }, ErrRange},
		{"sensor without serial", func(r *Record) { r.Trace.Serial = "" }, nil},
		{"calibration without id", func(r *Record) { r.Calibration.ID = "" }, ErrRange},
		{"configuration without id", func(r *Record) { r.Configuration.ID = "" }, ErrRange},
		{"no certificate", func(r *Record) { r.Key.Certificate = Hash{} }, nil},
		{"key in a TPM", func(r *Record) { r.Key.Class = "tpm2" }, nil},
		{"key elsewhere", func(r *Record) { r.Key.Class = "TPM" }, ErrRange},
		{"no software version", func(r *Record) { r.Software.Version = "" }, ErrRange},
		{"no site", func(r *Record) { r.Site = nil }, ErrMissingKey},
		{"no measurement", func(r *Record) { r.Measurement = nil }, ErrMissingKey},
		{"no frames", func(r *Record) { r.Frames = nil }, ErrMissingKey},
		{"no trace", func(r *Record) { r.Trace = nil }, ErrMissingKey},
		{"no calibration", func(r *Record) { r.Calibration = nil }, ErrMissingKey},
		{"a body", func(r *Record) { r.Body = Body{} }, ErrKind},
		{"first record of an epoch", func(r *Record) { r.Seq, r.Prev = 1, Hash{} }, nil},
		{"first record with a link", func(r *Record) { r.Seq = 1 }, ErrRange},
		{"later record without a link", func(r *Record) { r.Prev = Hash{} }, ErrRange},
		{"counter without class", func(r *Record) { r.CounterClass = 0 }, ErrRange},
	} {
		r := violation(t)
		test.change(r)
		if err := r.Validate(); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

func TestBodyTakesItsTypesOnly(t *testing.T) {
	for _, test := range []struct {
		name string
		kind Kind
		body Body
		want error
	}{
		{"int where uint64 belongs", KindHeartbeat, Body{1: 1, 2: uint64(0), 3: uint64(0), 4: uint64(0)}, ErrType},
		{"a missing key", KindHeartbeat, Body{1: uint64(1)}, ErrMissingKey},
		{"a key too many", KindShutdown, Body{1: "x", 2: "y"}, ErrUnknownKey},
		{"another key", KindShutdown, Body{2: "x"}, ErrMissingKey},
		{"no body", KindShutdown, nil, ErrMissingKey},
		{"the least step", KindClockStep, Body{1: int64(math.MinInt64), 2: ""}, nil},
		{"a count beyond 63 bits", KindEviction, Body{1: uint64(math.MaxUint64), 2: uint64(1)}, ErrRange},
		{"the longest words", KindOperator, Body{1: strings.Repeat("a", MaxBodyText)}, nil},
		{"words too long", KindOperator, Body{1: strings.Repeat("a", MaxBodyText+1)}, ErrRange},
		{"the longest statement", KindConfiguration, Body{1: make([]byte, MaxStatement), 2: ""}, nil},
		{"an act", KindOperator, Body{1: "", bodyAct: &Act{Actor: "a", Role: "b", Code: "c", Outcome: "d"}}, nil},
		{"no act under its key", KindOperator, Body{1: "", bodyAct: nil}, ErrType},
		{"an act by value", KindOperator, Body{1: "", bodyAct: Act{Actor: "a", Role: "b", Code: "c", Outcome: "d"}}, ErrType},
		{"an act that ran into nothing", KindOperator, Body{1: "", bodyAct: &Act{}}, ErrRange},
		{"an act of a heartbeat", KindClockStep, Body{1: int64(0), 2: "", bodyAct: &Act{Actor: "a", Role: "b", Code: "c", Outcome: "d"}}, ErrUnknownKey},
		{"an empty statement", KindConfiguration, Body{1: []byte{}, 2: ""}, ErrRange},
	} {
		r := base(test.kind, 7)
		r.Body = test.body
		if err := r.Validate(); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

// TestLargestRecordFits shows that the longest statement leaves room for all
// that a record of its kind says besides.
func TestLargestRecordFits(t *testing.T) {
	r := base(KindCalibration, math.MaxInt64)
	r.Body = Body{1: make([]byte, MaxStatement), 2: "text/plain"}
	r.Software.Version = strings.Repeat("v", MaxText)
	c := *violation(t).Calibration
	r.Site, r.Calibration = violation(t).Site, &c
	s, err := Seal(r, testSigner(t, "device"))
	if err != nil || len(s.Bytes) > MaxRecord {
		t.Error(err)
	}
}

func TestCleanTextValidates(t *testing.T) {
	for _, s := range []string{"", "plain", "two\nlines\tand \x1b[1m", "\xff\xfe", strings.Repeat("é", 600), strings.Repeat("\xff", 2000), "a\u0085b"} {
		r := base(KindShutdown, 7)
		r.Body = Body{1: CleanText(s)}
		if err := r.Validate(); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	if got := CleanText("two\nlines"); got != "two lines" {
		t.Errorf("got %q", got)
	}
}

// TestRecordSharesNoMemory shows that what was opened does not change with the
// buffer that it was read from.
func TestRecordSharesNoMemory(t *testing.T) {
	b := bytes.Clone(must(Seal(ofKind(t, KindCalibration), testSigner(t, "device")))(t).Bytes)
	s := must(Open(b))(t)
	clear(b)
	if err := s.Verify(&testKey(t, "device").PublicKey); err != nil {
		t.Error(err)
	}
	if got := string(s.Record.Body[1].([]byte)); got != testCalibration {
		t.Errorf("statement = %q", got)
	}
}

func TestUnmarshalRefusesEveryCutAndEveryByteMore(t *testing.T) {
	payload := must(violation(t).Marshal())(t)
	for n := range payload {
		if _, err := Unmarshal(payload[:n]); err == nil {
			t.Errorf("%d of %d bytes were accepted", n, len(payload))
		}
	}
	if _, err := Unmarshal(append(bytes.Clone(payload), 0)); !errors.Is(err, ErrTrailing) {
		t.Error(err)
	}
}

// TestErrorsNameByteAndField shows how a damaged record is reported.
func TestErrorsNameByteAndField(t *testing.T) {
	s := must(Seal(ofKind(t, KindHeartbeat), testSigner(t, "device")))(t)
	b := bytes.Clone(s.Bytes)
	at := bytes.Index(b, []byte("chrony"))
	b[at] = 0xff
	_, err := Open(b)
	var d *DecodeError
	if !errors.As(err, &d) || d.Offset != int64(at) || !strings.Contains(err.Error(), "clock source") {
		t.Errorf("error %v, want byte %d, clock source", err, at)
	}
}

func TestMeasurementArithmetic(t *testing.T) {
	for _, test := range []struct {
		name                                       string
		speed, indicated, reduction, assessed, lim sensor.Speed
		good                                       bool
	}{
		{"the first violation where 50 is allowed", 5600, 5600, 500, 5100, 5000, true},
		{"one less is none", 5599, 5500, 500, 5000, 5000, false},
		{"the first violation where 90 is allowed", 9600, 9600, 500, 9100, 9000, true},
		{"the first violation where 130 is allowed", 13700, 13700, 685, 13015, 13000, true},
		{"5 per cent are more than 5 km/h above 100", 10100, 10100, 500, 9600, 9000, false},
		{"exactly 5 per cent", 10100, 10100, 505, 9595, 9000, true},
		{"a larger reduction is not the rule's", 5700, 5700, 600, 5100, 5000, false},
		{"a smaller reduction is not", 5600, 5600, 499, 5101, 5000, false},
	} {
		r := violation(t)
		m := r.Measurement
		m.Speed, m.Indicated, m.Reduction, m.Assessed, m.Limit = test.speed, test.indicated, test.reduction, test.assessed, test.lim
		if err := r.Doubt(nil, nil); (err == nil) != test.good {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}
