package web

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"ciglio/capture"
	"ciglio/capture/evidence"
	"ciglio/portal/page"
	"ciglio/portal/record"
)

type recordView struct {
	page.View
	ID, Device, DeviceShort, Title, Place string
	Time                                  when
	Banners                               []banner
	Verdict                               verdictView
	Speed                                 *speedView
	Facts                                 []said
	Frames                                []frameView
	Signal                                bool // the trace can be drawn
	Body                                  []bodyView
	Checks                                []checkView
	Trace                                 bool // stored
	Chain                                 []fact
	Previous, Next                        string // ids; "" when there is none
}

// A banner says what everybody has to know before anything else.
type banner struct{ Class, Head, Words string }

type verdictView struct{ Class, Mark, Line, Words, Link string }

type speedView struct{ Assessed, Sign, Measured, Indicated, Reduction, Excess string }

// said is a fact of the record, in the words that all verifiers share.
type said struct{ Name, Value, Link string }

type checkView struct {
	Class, Mark, Status, Name, Words string
	Mandatory                        bool
}

type frameView struct {
	Number        int
	Label, Role   string // 2, photo
	Photo, Stored bool
	Lost          bool   // it was here
	Unfit         string // why no browser is given it; "" for a picture that may be shown
	Offset        string // from the photo position
	Exposure      string
	Source        string // what it was compressed from
	Size, Cut     string
	SHA256, Short string
}

type bodyView struct {
	Name, Value string
	Long        bool
}

func (d *Desk) record(w http.ResponseWriter, r *http.Request) error {
	rec, sealed, err := d.find(r)
	if err != nil {
		return d.answer(r, err)
	}
	v := page.NewView(r)
	done, err := d.limits.work(r.Context())
	if err != nil {
		return err
	}
	defer done()
	b, mapped, err := d.collect(r.Context(), rec, sealed)
	defer mapped.close()
	damaged := errors.Is(err, record.ErrDamaged)
	if damaged {
		// The page is shown all the same: its checks say what is damaged.
		d.o.Log.Error("stored bytes are damaged", "record", sealed.ID.String(), "error", err)
	} else if err != nil {
		return err
	}
	checked := *b
	if rec.State == record.Incomplete {
		checked.Frames = nil // not all have come: that is open, not wrong
	}
	verdict := evidence.Verify(&checked, d.o.Register.Trust())
	one := sealed.Record
	view := recordView{View: v, ID: sealed.ID.String(), Device: one.Device.String(), DeviceShort: one.Device.String()[:8], Title: kind(v, one.Kind),
		Time: when{v.ISO(one.UTC), v.Instant(one.UTC)}, Banners: banners(v, rec, one, damaged), Verdict: verdictOf(v, verdict),
		Checks: checksOf(v, verdict), Facts: factsOf(v, one), Trace: b.Trace != nil, Signal: drawable(one.Trace, b.Trace)}
	if one.Site != nil {
		view.Place = evidence.Place(one.Site.Road, one.Site.Position)
	}
	if m := one.Measurement; m != nil {
		view.Speed = &speedView{speed(v, m.Assessed), sign(v, m.Limit), speed(v, m.Speed), speed(v, m.Indicated), speed(v, m.Reduction), ""}
		if m.Assessed > m.Limit {
			view.Speed.Excess = speed(v, m.Assessed-m.Limit)
		}
	}
	for i, f := range one.Frames {
		frame := frameView{Number: i + 1, Label: v.Count(i+1) + ", " + roleWords(v, f.Role), Role: roleWords(v, f.Role), Photo: f.Role == "photo", Stored: b.Frames[i] != nil, Source: f.Source(),
			Size: size(v, uint64(f.Length)), SHA256: f.SHA256.String(), Short: f.SHA256.String()[:8]}
		if f.Exposure > 0 {
			frame.Exposure = v.Say("web.frame.exposure", "t", f.Exposure)
		}
		if f.Cut > 0 {
			frame.Cut = v.Say("web.frame.cut", "size", size(v, uint64(f.Cut)))
		}
		if !frame.Stored {
			senders, err := d.o.Store.Senders(r.Context(), f.SHA256)
			frame.Lost = rec.State == record.Complete || err == nil && slices.Contains(senders, rec.ID)
		}
		if _, _, _, err := capture.InspectJPEG(b.Frames[i]); frame.Stored && err != nil {
			frame.Unfit = err.Error()
		}
		if m := one.Measurement; m != nil {
			frame.Offset = evidence.Offset(f.Mono.Sub(m.Photo)).In(language(v))
		}
		view.Frames = append(view.Frames, frame)
	}
	for _, field := range evidence.BodyFields(one.Kind) {
		view.Body = append(view.Body, describe(v, field, one.Body[field.Key]))
	}
	view.Chain = d.chain(v, rec, sealed, b)
	for _, n := range []struct {
		seq  uint64
		into *string
	}{{one.Seq - 1, &view.Previous}, {one.Seq + 1, &view.Next}} {
		id, err := d.o.Store.RecordAt(r.Context(), one.Device, one.Epoch, n.seq)
		if errors.Is(err, record.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		*n.into = id.String()
	}
	done() // the reader may be slow
	return d.o.Pages.Render(w, r, "record", view)
}

func banners(v page.View, rec *record.Record, one *evidence.Record, damaged bool) (all []banner) {
	add := func(class, key string) {
		all = append(all, banner{class, v.Say("web.banner." + key), v.Say("web.banner." + key + "_words")})
	}
	if one.Kind == evidence.KindTest {
		add("test", "test")
	}
	if rec.Disputed {
		add("bad", "disputed")
	}
	if rec.State == record.Quarantined && !rec.Disputed {
		add("bad", "set_aside")
	}
	if rec.Backdated {
		add("bad", "backdated")
	}
	if damaged {
		add("bad", "damaged")
	}
	return all
}

func verdictOf(v page.View, verdict evidence.Verdict) verdictView {
	passed, failed := 0, 0
	for _, c := range verdict.Checks {
		switch c.Status {
		case evidence.Pass:
			passed++
		case evidence.Fail:
			failed++
		}
	}
	line := verdict.LineIn(language(v))
	n := len(verdict.Checks)
	switch {
	case verdict.OK():
		return verdictView{"pass", "✓", line, v.Say("web.verdict.passed", "n", passed), ""}
	case failed > 0:
		return verdictView{"fail", "✗", line, v.Say("web.verdict.failed", "n", failed, "all", v.Count(n)), v.Say("web.verdict.what_failed")}
	}
	return verdictView{"open", "–", line, v.Say("web.verdict.open", "n", passed, "all", v.Count(n)), v.Say("web.verdict.what_open")}
}

func checksOf(v page.View, verdict evidence.Verdict) (all []checkView) {
	l := language(v)
	for _, c := range verdict.Checks {
		view := checkView{Name: l.Word("check." + c.Name), Words: c.In(l)}
		switch c.Status {
		case evidence.Pass:
			view.Class, view.Mark, view.Status = "pass", "✓", v.Say("web.check.pass")
		case evidence.Fail:
			view.Class, view.Mark, view.Status = "fail", "✗", v.Say("web.check.fail")
		default:
			view.Class, view.Mark, view.Status = "not-checked", "–", v.Say("web.check.not_checked")
		}
		view.Mandatory = c.Mandatory
		all = append(all, view)
	}
	return all
}

// chain is where the record stands: in its chain, at the centre, in the log.
func (d *Desk) chain(v page.View, rec *record.Record, sealed *evidence.Sealed, b *evidence.Bundle) []fact {
	one := sealed.Record
	link := mark{"state warn", v.Say("web.link.none")}
	switch rec.Chain {
	case 1:
		link = mark{"state good", v.Say("web.link.fits")}
	case 2:
		link = mark{"state bad", v.Say("web.link.other")}
	}
	state := stateMark(v, rec.State, rec.Disputed)
	receipt := fact{Name: v.Say("web.chain.receipt"), Words: []phrase{{Words: v.Say("web.chain.no_receipt", "state", state.Words)}}}
	if b.Receipt != nil {
		if r, err := evidence.OpenReceipt(b.Receipt); err == nil {
			receipt.Words = []phrase{{Words: rec.Receipt.String()}, {Words: v.Say("web.chain.logged", "place", digits(rec.LogIndex+1), "size", digits(r.Receipt.LogSize))}}
			receipt.Class = "wrap"
		}
	}
	return []fact{
		{Name: v.Say("web.chain.number"), Words: []phrase{{Words: v.Say("web.number.one", "epoch", digits(one.Epoch), "number", digits(one.Seq))}}},
		{Name: v.Say("web.chain.link"), Words: []phrase{{Words: link.Words, Class: link.Class}}},
		{Name: v.Say("web.chain.id"), Words: []phrase{{Words: sealed.ID.String()}}, Class: "code wrap"},
		{Name: v.Say("web.chain.key"), Words: []phrase{{Words: sealed.KeyID.String()}}, Class: "code wrap"},
		{Name: v.Say("web.chain.received"), Words: []phrase{{Words: v.Instant(rec.Received)}}},
		receipt,
	}
}

// describe prints one field of a body.
func describe(v page.View, f evidence.BodyField, value any) bodyView {
	b := bodyView{Name: strings.ReplaceAll(f.Name, "_", " ")}
	switch value := value.(type) {
	case []byte:
		b.Value = hex.EncodeToString(value)
		if f.Type == evidence.BodyBytes && utf8.Valid(value) {
			b.Value, b.Long = string(value), true
		}
	case uint64:
		b.Value = fmt.Sprint(value)
		if f.Type == evidence.BodyFlag {
			b.Value = v.Say(map[uint64]string{0: "web.device.no", 1: "web.device.yes"}[value])
		}
	default:
		b.Value = fmt.Sprint(value)
	}
	return b
}

// size writes a number of bytes.
func size(v page.View, n uint64) string {
	switch {
	case n < 1000:
		return v.Say("web.size.bytes", "n", n)
	case n < 1e6:
		return v.Decimal(int64(n/100), 1) + " kB"
	}
	return v.Decimal(int64(n/1e5), 1) + " MB"
}
