package web

import (
	"strconv"

	"ciglio/portal/page"
	"ciglio/portal/record"
)

// facts are what the device says of the present.
func (t told) facts(v page.View) (all []fact) {
	add := func(key, class string, words ...phrase) {
		all = append(all, fact{Name: v.Say(key), Words: words, Class: class})
	}
	say := func(key string, pairs ...any) phrase { return phrase{Words: v.Say(key, pairs...)} }
	link := t.link(v)
	words := []phrase{{Words: link.Words, Class: link.Class}}
	switch {
	case t.state == nil:
	case t.stale():
		words = append(words, say("web.device.heard", "at", v.Short(t.StateAt)))
	default:
		words = append(words, say("web.device.since", "at", v.Short(t.StateAt)))
	}
	add("web.device.link", "", words...)
	measuring := t.measuring(v)
	words = []phrase{{Words: measuring.Words, Class: measuring.Class}}
	if t.health != nil && t.online() {
		for _, one := range t.health.Reasons {
			words = append(words, reason(v, one))
		}
	}
	add("web.device.measuring", "", words...)
	if t.Heartbeat.IsZero() {
		add("web.device.heartbeat", "", say("web.device.no_heartbeat"))
	} else {
		add("web.device.heartbeat", badIf(t.silent()), phrase{Words: v.Short(t.Heartbeat)}, phrase{Words: ago(v, t.now.Sub(t.Heartbeat))})
	}
	h := t.health
	if h == nil {
		return all
	}
	if o := h.Outbox; o.Unaccounted > 0 && o.Unsettled == 0 {
		add("web.device.waits", "", say("web.device.unreadable"))
	} else {
		add("web.device.waits", "", say("web.device.records", "n", o.Unsettled))
	}
	if o := h.Outbox; o.Unaccounted > 0 || o.AtLeast {
		words := []phrase{{Words: unaccounted(v, o)}}
		for _, run := range o.Missing {
			words = append(words, phrase{Words: spanned(v, record.Span{Epoch: run.Epoch, From: run.From, To: max(run.From, run.To)})})
			if run.Open {
				words = append(words, say("web.device.perhaps_more"))
			}
			if run.Settled > 0 {
				words = append(words, say("web.device.of_them_settled", "n", run.Settled))
			}
		}
		add("web.device.unaccounted_for", "bad", words...)
	}
	for _, d := range h.Days {
		day := say("web.device.day", "day", d.Day, "captured", d.Captured, "issued", d.Issued, "compliant", d.Compliant, "discarded", d.Discarded, "pending", d.Pending)
		words := []phrase{day}
		if n := d.Difference(); n != 0 {
			words = append(words, say("web.device.differs", "n", int(n)))
		}
		add("web.device.passages", badIf(d.Difference() != 0), words...)
	}
	clock := say("web.device.synchronised", "source", h.Clock.Source)
	if !h.Clock.Synchronised {
		clock = say("web.device.unsynchronised", "source", h.Clock.Source)
	}
	add("web.device.clock", badIf(!h.Clock.Synchronised), clock)
	add("web.device.software", "", phrase{Words: h.Software})
	return all
}

// kept are what the centre has of the device.
func (t told) kept(v page.View, spans []record.Span) (all []fact) {
	add := func(key, class string, words ...phrase) {
		all = append(all, fact{Name: v.Say(key), Words: words, Class: class})
	}
	add("web.kept.records", "", phrase{Words: v.Count(int(t.Records))})
	add("web.kept.incomplete", "", phrase{Words: v.Count(int(t.Incomplete))})
	var words []phrase
	for _, m := range t.chain(v) {
		words = append(words, phrase{Words: m.Words, Class: m.Class})
	}
	if t.Gaps > 0 {
		words = append(words, phrase{Words: v.Say("web.kept.gaps", "n", t.Gaps)})
	}
	add("web.kept.chain", "", words...)
	if len(spans) > 0 {
		words = nil
		for _, s := range spans[:min(len(spans), maxSpans)] {
			words = append(words, phrase{Words: spanned(v, s)})
		}
		if len(spans) > maxSpans {
			words = append(words, phrase{Words: v.Say("web.kept.more_gaps")})
		}
		add("web.kept.missing", "", words...)
	}
	if t.HeldBack > 0 {
		add("web.kept.held_back", "", phrase{Words: v.Say("web.kept.held_back_words", "n", t.HeldBack), Class: "state warn"})
	}
	add("web.kept.first", "", phrase{Words: v.Short(t.FirstSeen)})
	add("web.kept.last", "", phrase{Words: v.Short(t.LastSeen)})
	add("web.kept.id", "code wrap", phrase{Words: t.ID.String()})
	if p := t.profile; p != nil {
		add("web.kept.approval", "", phrase{Words: p.Approval})
		add("web.kept.decree", "", phrase{Words: p.Decree})
		add("web.kept.calibration", "", phrase{Words: p.Calibration.ID}, phrase{Words: v.Say("web.kept.until", "at", moment(p.Calibration.NotAfter))})
	}
	return all
}

func badIf(bad bool) string {
	if bad {
		return "bad"
	}
	return ""
}

// spanned names numbers of a chain.
func spanned(v page.View, s record.Span) string {
	if s.From == s.To {
		return v.Say("web.number.one", "epoch", digits(s.Epoch), "number", digits(s.From))
	}
	return v.Say("web.number.run", "epoch", digits(s.Epoch), "from", digits(s.From), "to", digits(s.To))
}

// digits write a number that names something: without points between thousands.
func digits(n uint64) string { return strconv.FormatUint(n, 10) }
