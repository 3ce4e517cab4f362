package sensor

import "fmt"

// A Reason says why a passage gives no evidence. The numbers are fixed: they
// are printed, sent and counted, and docs/discard-reasons.md lists them.
type Reason uint8

// The discard reasons.
const (
	ReasonTwoTargets         Reason = 1  // another vehicle was in the beam and the sensor cannot say which it measured
	ReasonMixedDirection     Reason = 2  // readings of one track disagree on the direction
	ReasonAcceleration       Reason = 3  // the speed changed faster than a road vehicle's can
	ReasonTooFewReadings     Reason = 4  // the measuring zone held too few readings
	ReasonSecondMissing      Reason = 5  // the second speed sensor gave no speed
	ReasonSecondDisagrees    Reason = 6  // the second speed lies outside its tolerance
	ReasonClipped            Reason = 7  // the signal exceeded the converter's range
	ReasonInterference       Reason = 8  // a constant tone or another transmitter lies on the track
	ReasonOutOfRange         Reason = 9  // the speed lies outside the sensor's certified range
	ReasonClock              Reason = 10 // the clock stepped or was not within its bound
	ReasonLostEdge           Reason = 11 // the kernel dropped an edge of a contact
	ReasonSimulated          Reason = 12 // the sensor reported a simulated target
	ReasonFrameMissing       Reason = 13 // the camera gave no picture at the photo position
	ReasonLostSamples        Reason = 14 // samples of the signal are missing
	ReasonGate               Reason = 15 // the gate was closed, now or when the vehicle came
	ReasonStoreFull          Reason = 16 // the outbox has no room for evidence
	ReasonWrongDirection     Reason = 17 // the site does not enforce this direction
	ReasonUncertain          Reason = 18 // the uncertainty exceeds what the approval allows
	ReasonDirectionUndecided Reason = 19 // the sensor cannot tell the direction and the site needs it
	ReasonStoreFault         Reason = 20 // the outbox could not store the record, or does not know whether it did
	ReasonLimit              Reason = 22 // the limit changed while the vehicle passed
	ReasonContradiction      Reason = 21 // its record would contradict itself, and no verifier would pass it
	ReasonStrobeMissing      Reason = 23 // the strobe's return, which says that a picture was exposed, did not come
)

var reasons = [...]struct{ code, words string }{
	ReasonTwoTargets:         {"two_targets", "another vehicle was in the beam"},
	ReasonMixedDirection:     {"mixed_direction", "the readings disagree on the direction of travel"},
	ReasonAcceleration:       {"acceleration", "the speed changed faster than a road vehicle's can"},
	ReasonTooFewReadings:     {"too_few_readings", "too few readings in the measuring zone"},
	ReasonSecondMissing:      {"second_missing", "the second speed sensor gave no speed"},
	ReasonSecondDisagrees:    {"second_disagrees", "the second speed disagrees"},
	ReasonClipped:            {"clipped", "the signal exceeded the range of the converter"},
	ReasonInterference:       {"interference", "a constant tone or another transmitter lies on the track"},
	ReasonOutOfRange:         {"out_of_range", "the speed lies outside the certified range"},
	ReasonClock:              {"clock", "the clock stepped or was not within its bound"},
	ReasonLostEdge:           {"lost_edge", "an edge of a contact was lost"},
	ReasonSimulated:          {"simulated", "the sensor reported a simulated target"},
	ReasonFrameMissing:       {"frame_missing", "the camera gave no picture at the photo position"},
	ReasonLostSamples:        {"lost_samples", "samples of the signal are missing"},
	ReasonGate:               {"gate", "the gate was closed, now or when the vehicle came"},
	ReasonStoreFull:          {"store_full", "the outbox has no room for evidence"},
	ReasonWrongDirection:     {"wrong_direction", "this direction is not enforced at this site"},
	ReasonUncertain:          {"uncertain", "the uncertainty of the speed exceeds the bound"},
	ReasonDirectionUndecided: {"direction_unknown", "the direction of travel is unknown"},
	ReasonStoreFault:         {"store_fault", "the outbox could not store the record"},
	ReasonLimit:              {"limit", "the limit changed while the vehicle passed"},
	ReasonContradiction:      {"contradiction", "the record would contradict a good measurement"},
	ReasonStrobeMissing:      {"strobe_missing", "the strobe's return did not come for a picture"},
}

// Code returns the reason's name in counters and JSON, such as "two_targets".
func (r Reason) Code() string {
	if int(r) < len(reasons) && reasons[r].code != "" {
		return reasons[r].code
	}
	return fmt.Sprintf("reason_%d", uint8(r))
}

// String returns the reason in words.
func (r Reason) String() string {
	if int(r) < len(reasons) && reasons[r].words != "" {
		return reasons[r].words
	}
	return fmt.Sprintf("unknown reason %d", uint8(r))
}

// MarshalText writes [Reason.Code].
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.Code()), nil }

// Reasons returns every reason in order of its number.
func Reasons() []Reason {
	all := make([]Reason, 0, len(reasons)-1)
	for r := 1; r < len(reasons); r++ {
		all = append(all, Reason(r))
	}
	return all
}
