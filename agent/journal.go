package agent

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"ciglio/agent/journal"
	"ciglio/capture/evidence"
	"ciglio/uplink/outbox"
)

const journalMore = `Without PATH it reads the outbox, while the service runs or not; with PATH,
bundles, records and folders that were exported. It does not check signatures:
ciglio verify does.`

// journalCommand prints what was done to a device.
func journalCommand(f flags) action {
	dir := dirFlag(f)
	codes := f.String("kind", "", "only these, by their `CODES`, separated by commas")
	since := f.String("since", "", "only from this `TIME` on: 2026-05-01 or 2026-05-01T08:00:00Z")
	until := f.String("until", "", "only up to this `TIME`")
	last := f.Int("last", 0, "only the last `NUMBER`; 0 for all")
	return func(args []string, stdout, stderr io.Writer) int {
		paths, exit, ok := f.parse(args)
		if !ok {
			return exit
		}
		filter := journal.Filter{Last: *last}
		if *last < 0 {
			return f.wrong("--last %d: want 0 or more", *last)
		}
		if *codes != "" {
			filter.Codes = strings.Split(*codes, ",")
			for _, code := range filter.Codes {
				if !slices.Contains(journal.Known(), code) {
					return f.wrong("--kind %s: there is %s", code, strings.Join(journal.Known(), ", "))
				}
			}
		}
		var err error
		if filter.Since, err = journalTime(*since, false); err == nil {
			filter.Till, err = journalTime(*until, true)
		}
		if err != nil {
			return f.wrong("%v", err)
		}
		var entries []journal.Entry
		if len(paths) > 0 {
			entries, err = exportedJournal(paths, filter)
		} else {
			entries, err = outboxJournal(*dir, filter)
		}
		if *f.json {
			for _, e := range entries {
				printJSON(stdout, journalJSON(e))
			}
		} else if len(entries) > 0 || err == nil { // of what could not be read nobody says that it holds nothing
			printJournal(stdout, entries)
		}
		if err != nil {
			return fail(stderr, err, outboxHint)
		}
		return exitGood
	}
}

// journalTime reads a day or an instant, in UTC unless it says otherwise. The end of a
// day is its last microsecond.
func journalTime(text string, end bool) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		if end {
			day = day.AddDate(0, 0, 1).Add(-time.Microsecond)
		}
		return day, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, fmt.Errorf("%q: want a day such as 2026-05-01, or 2026-05-01T08:00:00Z", text)
	}
	return at, nil
}

func outboxJournal(dir string, filter journal.Filter) ([]journal.Entry, error) {
	view, err := outbox.OpenView(dir, evidence.DeviceID{})
	if err != nil {
		return nil, err
	}
	defer view.Close()
	return journal.Read(view, filter)
}

// exportedJournal reads what was exported, in the order of the chains.
func exportedJournal(paths []string, filter journal.Filter) ([]journal.Entry, error) {
	found, _ := findEvidence(paths)
	var all []journal.Entry
	var errs []error
	for _, item := range found.items {
		err := item.err
		var b *evidence.Bundle
		if err == nil {
			b, err = loadBundle(item.path)
		}
		var sealed *evidence.Sealed
		if err == nil {
			sealed, err = evidence.Open(b.Record)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", item.path, err))
			continue
		}
		if e, ok := journal.Of(sealed); ok && filter.Wants(e) {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b journal.Entry) int {
		return cmp.Or(strings.Compare(a.Device.String(), b.Device.String()), cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Seq, b.Seq))
	})
	all = slices.CompactFunc(all, func(a, b journal.Entry) bool { return a.ID == b.ID })
	return filter.Limit(all), errors.Join(errs...)
}

func printJournal(w io.Writer, entries []journal.Entry) {
	if len(entries) == 0 {
		fmt.Fprintln(w, "nothing in the journal")
		return
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TIME\tRECORD\tWHAT\tWHO\tOUTCOME\tWORDS")
	for _, e := range entries {
		who, outcome := "device", ""
		if e.Act != nil {
			who, outcome = e.Act.Actor, e.Act.Outcome
		}
		fmt.Fprintf(table, "%s\t%d·%d\t%s\t%s\t%s\t%s\n", e.UTC.Format(time.RFC3339), e.Epoch, e.Seq, journal.Words(e.Code()), who, outcome, e.Words)
	}
	table.Flush()
}

// journalJSON is an entry as --json prints it, one a line.
func journalJSON(e journal.Entry) map[string]any {
	v := map[string]any{
		"device": e.Device.String(), "epoch": e.Epoch, "seq": e.Seq, "id": e.ID.String(), "utc": e.UTC.Format(time.RFC3339Nano),
		"kind": journal.KindCode(e.Kind), "code": e.Code(), "what": journal.Words(e.Code()), "words": e.Words,
	}
	if e.Act != nil {
		v["act"] = describeAct(e.Act)
	}
	return v
}
