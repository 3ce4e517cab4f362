package law

import (
	"time"

	"ciglio/capture/evidence"
)

// A Channel is a way by which a notice reaches its addressee.
type Channel string

// The channels. Those of SEND are the national platform: DL 76/2020, art. 26.
const (
	Hand          Channel = "hand"
	Post          Channel = "post" // L. 20 November 1982 no. 890
	PEC           Channel = "pec"  // DM Interno 18 December 2017
	SendPEC       Channel = "send_pec"
	SendPECFailed Channel = "send_pec_failed"
	SendPaper     Channel = "send_paper"
)

// A Moment is a day, or an instant within it where that is known.
type Moment struct {
	Day     Day
	Instant time.Time // zero where only the day is known
}

// Zero reports whether the moment did not come.
func (m Moment) Zero() bool { return m.Day.Zero() }

// At returns the moment of an instant.
func At(t time.Time) Moment { return Moment{Day: DayOf(t), Instant: t} }

// Before reports whether m is before o, by their instants where both are known.
func (m Moment) Before(o Moment) bool {
	if !m.Instant.IsZero() && !o.Instant.IsZero() {
		return m.Instant.Before(o.Instant)
	}
	return m.Day.Before(o.Day)
}

// A Service is what the channel told. What did not happen is zero.
type Service struct {
	Channel   Channel
	Delivered Moment // to a person, a box; of SendPECFailed the deposit of the notice of failed delivery
	Stored    Moment // first day of storage at the post office
	Collected Moment // from there
	Viewed    Moment // on SEND; a PEC may be read, which changes nothing
}

// A Served is the day from which the addressee's terms run, and the rule that made it.
type Served struct {
	Day  Day
	Rule string
}

// Days of storage after which a letter counts as served, and those of SEND.
const (
	storage    = 10 // L. 890/82, art. 8(4)
	sendPEC    = 7  // DL 76/2020, art. 26(9)(b) no. 1
	sendFailed = 15 // no. 2
	sendPaper  = 10 // art. 26(9)(b) no. 3
	sendLate   = 21 // o'clock: delivered after it counts from the next day
)

// Served returns the day of service. It is not moved by holidays. Codes: service.channel,
// service.open (not served yet), service.contradictory (what cannot be together).
func (s Service) Served() (Served, error) {
	if err := s.check(); err != nil {
		return Served{}, err
	}
	served, ok := s.perfected()
	if s.send() && !s.Viewed.Zero() && (!ok || s.Viewed.Day.Before(served.Day)) {
		return Served{s.Viewed.Day, "send.viewed"}, nil
	}
	if !ok {
		return Served{}, no("service.open", "nothing that serves it has happened")
	}
	return served, nil
}

func (s Service) send() bool {
	return s.Channel == SendPEC || s.Channel == SendPECFailed || s.Channel == SendPaper
}

func (s Service) paper() bool { return s.Channel == Post || s.Channel == SendPaper }

func (s Service) check() error {
	switch s.Channel {
	case Hand, Post, PEC, SendPEC, SendPECFailed, SendPaper:
	default:
		return no("service.channel", "%q: want hand, post, pec, send_pec, send_pec_failed or send_paper", s.Channel)
	}
	switch {
	case !s.paper() && !(s.Stored.Zero() && s.Collected.Zero()):
		return no("service.contradictory", "nothing is stored or collected by %s", s.Channel)
	case !s.send() && s.Channel != PEC && !s.Viewed.Zero():
		return no("service.contradictory", "nothing is viewed on SEND by %s", s.Channel)
	case s.Channel == PEC && !s.Viewed.Zero() && s.Viewed.Before(s.Delivered):
		return no("service.contradictory", "read before it was delivered")
	case !s.Delivered.Zero() && !(s.Stored.Zero() && s.Collected.Zero()):
		return no("service.contradictory", "delivered, and stored or collected")
	case s.Stored.Zero() && !s.Collected.Zero():
		return no("service.contradictory", "collected, and never stored")
	case !s.Collected.Zero() && s.Collected.Before(s.Stored):
		return no("service.contradictory", "collected before it was stored")
	}
	return nil
}

// perfected returns the day of service by what the addressee need not do.
func (s Service) perfected() (Served, bool) {
	if s.paper() && !s.Stored.Zero() {
		end := s.Stored.Day.Add(storage)
		collected := !s.Collected.Zero() && !end.Before(s.Collected.Day)
		if collected {
			end = s.Collected.Day
		}
		switch {
		case s.Channel == SendPaper && collected:
			return Served{end.Add(sendPaper), "send.paper_tenth_day"}, true
		case s.Channel == SendPaper:
			return Served{end.Add(sendPaper), "send.storage_tenth_day"}, true
		case collected:
			return Served{end, "post.collected"}, true
		}
		return Served{end, "post.storage_tenth_day"}, true
	}
	if s.Delivered.Zero() {
		return Served{}, false
	}
	day := s.Delivered.Day
	switch s.Channel {
	case SendPEC:
		if late(s.Delivered.Instant) {
			day = day.Add(1)
		}
		return Served{day.Add(sendPEC), "send.pec_seventh_day"}, true
	case SendPECFailed:
		return Served{day.Add(sendFailed), "send.failed_fifteenth_day"}, true
	case SendPaper:
		return Served{day.Add(sendPaper), "send.paper_tenth_day"}, true
	}
	return Served{day, string(s.Channel) + ".delivered"}, true
}

// late reports whether an instant is after 21:00:00 in Italy.
func late(at time.Time) bool {
	if at.IsZero() {
		return false
	}
	h, m, s := evidence.SiteTime(at).Clock()
	return h > sendLate || h == sendLate && (m > 0 || s > 0 || at.Nanosecond() > 0)
}
