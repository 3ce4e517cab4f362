package law

// A Duty is how it stands with the owner's duty to say who drove: art. 126-bis(2).
type Duty string

// The states of a duty.
const (
	DutyRuns      Duty = "runs"      // until the last day
	DutyInvite    Duty = "invite"    // an appeal was lost: the office invites anew
	DutySuspended Duty = "suspended" // an appeal runs
	DutyOver      Duty = "over"      // an appeal was won
)

// An Appeal is one against the notice. The zero Decided is pending.
type Appeal struct {
	Filed, Decided Day
	Upheld         bool
	Invited        Day // service of a new invitation after it was lost
}

// DriverDuty returns how the duty stands and the last day of one that runs. With an appeal
// there are two readings: by the Cassation (26553/2024, 31871/2025) the duty waits for its
// end and a new invitation starts a new term; by the circular of 27 October 2022 it runs
// from the notice all the same, which circular chooses. Code: term.no_row.
func (l *Law) DriverDuty(served Day, appeal *Appeal, circular bool) (Duty, Day, error) {
	last, err := l.LastDay(Driver, served)
	if err != nil || appeal == nil {
		return DutyRuns, last, err
	}
	switch {
	case !appeal.Decided.Zero() && appeal.Upheld:
		return DutyOver, Day{}, nil
	case circular:
		return DutyRuns, last, nil
	case appeal.Decided.Zero():
		return DutySuspended, Day{}, nil
	case appeal.Invited.Zero():
		return DutyInvite, Day{}, nil
	}
	last, err = l.LastDay(Driver, appeal.Invited)
	return DutyRuns, last, err
}
