package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"text/tabwriter"
	"time"

	"ciglio/agent/config"
	"ciglio/agent/device"
	"ciglio/capture/evidence"
	"ciglio/internal/durable"
	"ciglio/uplink"
	"ciglio/uplink/outbox"
)

// The outbox commands read the store page by page and take no lock, so that they
// work while the service runs.

const outboxHint = "--dir names the outbox folder: device.dir of the configuration, then outbox"

// dirFlag adds the flag that says where the store is.
func dirFlag(f flags) *string {
	return f.String("dir", outboxDir(config.Default()), "outbox `folder`")
}

// outboxDir is where a device keeps its outbox.
func outboxDir(c *config.Config) string { return filepath.Join(c.Device.Dir, "outbox") }

// outboxOptions are those of a device's outbox.
func outboxOptions(c *config.Config, id evidence.DeviceID, log *slog.Logger) outbox.Options {
	return outbox.Options{
		Device: id, Epoch: epoch(c), Quota: int64(c.Outbox.Quota), Reserve: int64(c.Outbox.Reserve), Retention: c.Outbox.Retention, Log: log,
	}
}

// examined opens the store of a command, with a verdict on all that is in it.
// With whole it reads every byte of the records that wait.
func examined(dir string, whole bool) (*outbox.View, error) {
	view, err := outbox.OpenView(dir, evidence.DeviceID{})
	if err != nil {
		return nil, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := view.Examine(ctx, whole); err != nil {
		return nil, err
	}
	return view, nil
}

// A lossReport is what the outbox commands and the doctor say of what the store
// cannot read, misses or has set aside.
type lossReport struct {
	Unaccounted uint64         `json:"unaccounted"` // numbers neither in the store nor settled
	AtLeast     bool           `json:"at_least"`    // there may be more of them
	Missing     []outbox.Range `json:"missing"`
	Losses      []outbox.Loss  `json:"losses"`
}

func lossesOf(r outbox.Report) lossReport {
	l := lossReport{Missing: r.Missing, Losses: r.Losses()}
	l.Unaccounted, l.AtLeast = r.Unaccounted()
	if l.Missing == nil {
		l.Missing = []outbox.Range{}
	}
	if l.Losses == nil {
		l.Losses = []outbox.Loss{}
	}
	return l
}

// count says how many numbers are unaccounted for.
func (l lossReport) count() string {
	text := fmt.Sprintf("%d numbers are unaccounted for", l.Unaccounted)
	switch {
	case l.Unaccounted == 1:
		text = "1 number is unaccounted for"
	case l.Unaccounted == 0 && l.AtLeast:
		return "how many numbers are unaccounted for is not known"
	}
	if l.AtLeast {
		text = "at least " + text
	}
	return text
}

// exit is the code of a command that has told the losses. What somebody knows of is
// listed, and is no failure.
func (l lossReport) exit() int {
	if len(outbox.Unknown(l.Losses)) > 0 {
		return exitFailed
	}
	return exitGood
}

const lossHint = "keep the outbox folder as it is, and see docs/operation.md, The outbox"

// waitingWords says how many records wait for a receipt. Of a store that misses
// numbers it never says that none waits.
func waitingWords(s outbox.Stats, l lossReport) string {
	switch {
	case s.Unsettled == 0 && len(l.Losses) > 0:
		return "of the records that can be read each has its receipt"
	case s.Unsettled == 1:
		return fmt.Sprintf("1 waits for a receipt, %d set aside, %d damaged", s.SetAside, s.Damaged)
	}
	return fmt.Sprintf("%d wait for a receipt, %d of them set aside, %d damaged", s.Unsettled, s.SetAside, s.Damaged)
}

func outboxStats(f flags) action {
	dir := dirFlag(f)
	quick := f.Bool("quick", false, "do not read the waiting records through, which takes a minute a few gigabytes")
	return func(args []string, stdout, stderr io.Writer) int {
		if exit, ok := f.parseAlone(args); !ok {
			return exit
		}
		view, err := examined(*dir, !*quick)
		if err != nil {
			return fail(stderr, err, outboxHint)
		}
		defer view.Close()
		s, losses := view.Stats(), lossesOf(view.Report())
		if *f.json {
			v := struct {
				Records   uint64     `json:"records"`
				Unsettled uint64     `json:"unsettled"`
				SetAside  int        `json:"set_aside"`
				Damaged   int        `json:"damaged"`
				Segments  int        `json:"segments"`
				Bytes     int64      `json:"bytes"`
				Epoch     uint64     `json:"epoch"`
				Next      uint64     `json:"next"`
				Oldest    *time.Time `json:"oldest,omitempty"`
				Read      bool       `json:"read"` // every waiting record was read through
				Good      bool       `json:"good"`
				lossReport
			}{s.Records, s.Unsettled, s.SetAside, s.Damaged, s.Segments, s.Bytes, s.Head.Epoch, s.Head.Next,
				nil, !*quick, losses.exit() == exitGood, losses}
			if !s.Oldest.IsZero() {
				oldest := s.Oldest.UTC()
				v.Oldest = &oldest
			}
			printJSON(stdout, v)
			return losses.exit()
		}
		fmt.Fprintf(stdout, "%d records in %d segments, %d bytes\n", s.Records, s.Segments, s.Bytes)
		fmt.Fprintln(stdout, waitingWords(s, losses))
		if !s.Oldest.IsZero() {
			fmt.Fprintf(stdout, "the oldest of them is of %s\n", s.Oldest.UTC().Format(time.RFC3339))
		}
		fmt.Fprintf(stdout, "the next record is number %d of epoch %d\n", s.Head.Next, s.Head.Epoch)
		if *quick {
			fmt.Fprintln(stdout, "the waiting records were not read through")
		}
		return tell(stdout, stderr, losses)
	}
}

// tell prints the losses, if there are any, and returns the exit code.
func tell(stdout, stderr io.Writer, l lossReport) int {
	if len(l.Losses) == 0 {
		return exitGood
	}
	fmt.Fprintln(stdout, l.count())
	for _, loss := range l.Losses {
		mark := "LOSS"
		if loss.Acknowledged != nil {
			mark = "KNOWN"
		}
		fmt.Fprintf(stdout, "%-5s %v\n", mark, loss)
	}
	if l.exit() != exitGood {
		fmt.Fprintf(stderr, "hint: %s\n", lossHint)
	}
	return l.exit()
}

const acknowledgeMore = `Notes who knows of every loss that ciglio outbox stats names now, and why it may
stand. A loss stays listed, as KNOWN, and the exit code of stats is 0 again when
nobody has to look at another one. A number that goes missing later, or a loss in
other words, is named as before. The act enters the chain at the service's next
start, as a record of kind operator.`

// outboxAcknowledge is the command `ciglio outbox acknowledge`.
func outboxAcknowledge(f flags) action {
	dir := dirFlag(f)
	by := f.String("by", "", "`who` acknowledges, as the device shall know them: no name of a person")
	why := f.String("why", "", "`reason` for which the losses may stand")
	return func(args []string, stdout, stderr io.Writer) int {
		if exit, ok := f.parseAlone(args); !ok {
			return exit
		}
		if *by == "" || *why == "" {
			return f.wrong("--by and --why say who acknowledges, and why")
		}
		view, err := examined(*dir, true)
		if err != nil {
			return fail(stderr, err, outboxHint)
		}
		defer view.Close()
		losses := outbox.Unknown(view.Report().Losses())
		if len(losses) > 0 {
			if err := outbox.Acknowledge(*dir, losses, *by, *why, time.Now()); err != nil {
				return fail(stderr, err, outboxHint)
			}
		}
		if *f.json {
			printJSON(stdout, map[string]any{"acknowledged": len(losses), "losses": view.Report().Losses()})
			return exitGood
		}
		if len(losses) == 0 {
			fmt.Fprintln(stdout, "no loss that nobody knows of")
		}
		return tell(stdout, stderr, lossesOf(view.Report()))
	}
}

// acknowledgements returns the acts of acknowledging that are not in the chain yet.
func acknowledgements(store *outbox.Outbox, log *slog.Logger) (deeds []device.Deed) {
	for _, a := range store.Report().Acknowledged {
		if a.Recorded {
			continue
		}
		deeds = append(deeds, device.Deed{
			What: fmt.Sprintf("loss acknowledged: %s; %s", a.Words, a.Why),
			Act: evidence.Act{
				Actor: a.By, Role: "operator", Code: "acknowledge", Subject: "outbox", Old: a.Words, New: a.Why, Outcome: "done",
			},
			Noted: func() {
				if err := store.NoteRecorded(a); err != nil {
					log.Warn("outbox acknowledgement: not marked as recorded", "error", err)
				}
			},
		})
	}
	return deeds
}

func outboxList(f flags) action {
	dir := dirFlag(f)
	return func(args []string, stdout, stderr io.Writer) int {
		if exit, ok := f.parseAlone(args); !ok {
			return exit
		}
		view, err := examined(*dir, false)
		if err != nil {
			return fail(stderr, err, outboxHint)
		}
		defer view.Close()
		table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
		if !*f.json {
			fmt.Fprintln(table, "EPOCH\tSEQ\tTIME\tKIND\tSTATE\tBYTES\tID\tNOTE")
		}
		losses := lossesOf(view.Report())
		missing := losses.Missing
		hole := func(r outbox.Range) {
			if *f.json {
				printJSON(stdout, map[string]any{"epoch": r.Epoch, "from": r.From, "to": r.To, "open": r.Open, "settled": r.Settled, "state": "missing"})
				return
			}
			fmt.Fprintf(table, "%d\t%d\t\t\tmissing\t\t\t%v\n", r.Epoch, r.From, r)
		}
		for i, err := range view.All(uplink.Key{}) {
			if err != nil {
				return fail(stderr, err, outboxHint)
			}
			for len(missing) > 0 && (uplink.Key{Epoch: missing[0].Epoch, Seq: missing[0].From}).Less(i.Key) {
				hole(missing[0])
				missing = missing[1:]
			}
			if *f.json {
				printJSON(stdout, map[string]any{
					"epoch": i.Epoch, "seq": i.Seq, "time": i.Time.UTC(), "kind": i.Kind.String(),
					"state": i.State.String(), "bytes": i.Size, "id": i.ID.String(), "note": i.Note,
				})
				continue
			}
			if i.Kind == 0 { // its entry cannot be read
				fmt.Fprintf(table, "%d\t%d\t\t\t%v\t\t\t%s\n", i.Epoch, i.Seq, i.State, i.Note)
				continue
			}
			fmt.Fprintf(table, "%d\t%d\t%s\t%v\t%v\t%d\t%.12s\t%s\n",
				i.Epoch, i.Seq, i.Time.UTC().Format(time.RFC3339), i.Kind, i.State, i.Size, i.ID.String(), i.Note)
		}
		for _, r := range missing {
			hole(r)
		}
		table.Flush()
		if *f.json {
			for _, l := range losses.Losses {
				printJSON(stdout, l)
			}
			return losses.exit()
		}
		return tell(stdout, stderr, losses)
	}
}

func outboxExport(f flags) action {
	out := f.String("out", ".", "`folder` for the bundles")
	epoch := f.Uint64("epoch", 0, "`number` of the epoch of the records; 0 means the newest that has it")
	dir := dirFlag(f)
	return func(args []string, stdout, stderr io.Writer) int {
		texts, exit, ok := f.parse(args)
		if !ok {
			return exit
		}
		if len(texts) == 0 {
			return f.wrong("no sequence number given")
		}
		seqs := make([]uint64, len(texts))
		for i, text := range texts {
			var err error
			if seqs[i], err = strconv.ParseUint(text, 10, 64); err != nil {
				fmt.Fprintf(stderr, "ciglio: %q is no sequence number\nhint: ciglio outbox list shows which records there are\n", text)
				return exitUsage
			}
		}
		view, err := outbox.OpenView(*dir, evidence.DeviceID{})
		if err != nil {
			return fail(stderr, err, outboxHint)
		}
		defer view.Close()
		if err := os.MkdirAll(*out, 0o700); err != nil {
			return fail(stderr, err, "--out names the folder for the bundles")
		}
		if open, err := durable.Others(*out); err == nil && open != "" { // it was there before
			fmt.Fprintf(stderr, "ciglio: warning: %s\n", open)
		}
		failed := 0
		for _, seq := range seqs {
			k := uplink.Key{Epoch: *epoch, Seq: seq}
			if *epoch == 0 {
				k.Epoch = view.EpochOf(seq)
			}
			path := filepath.Join(*out, fmt.Sprintf("%d-%d.zip", k.Epoch, seq))
			written, err := export(view, k, path)
			if err != nil {
				failed++
			}
			if *f.json {
				v := map[string]any{"epoch": k.Epoch, "seq": seq}
				if written {
					v["file"] = path
				}
				if err != nil {
					v["error"] = err.Error()
				}
				printJSON(stdout, v)
			} else if written {
				fmt.Fprintln(stdout, path)
			}
			if err != nil {
				fmt.Fprintf(stderr, "ciglio: %v\n", err)
			}
		}
		if failed > 0 {
			fmt.Fprintf(stderr, "ciglio: %d of %d records not exported as they were stored\nhint: ciglio outbox list shows which records there are, of which epoch, and what is missing\n", failed, len(seqs))
			return exitFailed
		}
		return exitGood
	}
}

// export writes the bundle of one record. The file appears whole or not at all. A
// receipt that cannot be read is an error, and the bundle is written without it.
func export(view *outbox.View, k uplink.Key, path string) (written bool, err error) {
	b, noReceipt, err := readBundle(view, k)
	if err != nil {
		return false, err
	}
	const own = 0o600 // there are pictures in it
	if err := durable.Write(path, own, func(w io.Writer) error { return evidence.WriteBundle(w, b) }); err != nil {
		return false, err
	}
	if noReceipt != nil {
		noReceipt = fmt.Errorf("%s: %w", path, noReceipt)
	}
	return true, noReceipt
}

// readBundle reads a record with all that belongs to it. noReceipt is why its receipt
// cannot be read, where it has one.
func readBundle(view *outbox.View, k uplink.Key) (b *evidence.Bundle, noReceipt, err error) {
	record, err := view.Record(k)
	if err != nil {
		return nil, nil, err
	}
	sealed, err := evidence.Open(record)
	if err != nil {
		return nil, nil, fmt.Errorf("record %d: %w", k.Seq, err)
	}
	b = &evidence.Bundle{Record: record}
	r := sealed.Record
	for i := range r.Frames {
		frame, err := view.Blob(k, i)
		if err != nil {
			return nil, nil, err
		}
		b.Frames = append(b.Frames, frame)
	}
	if r.Trace != nil {
		if b.Trace, err = view.Blob(k, len(r.Frames)); err != nil {
			return nil, nil, err
		}
	}
	if b.Receipt, err = view.Receipt(k); err != nil && !errors.Is(err, outbox.ErrNotFound) {
		b.Receipt, noReceipt = nil, fmt.Errorf("written without its receipt: %w", err)
	}
	if err := findStatements(view, k, r, b); err != nil {
		return nil, nil, err
	}
	return b, noReceipt, nil
}

// public is the mode of files that others may read.
const public = 0o644

// findStatements adds the calibration and configuration that the record names,
// as far as the chain before it still holds them.
func findStatements(view *outbox.View, before uplink.Key, r *evidence.Record, b *evidence.Bundle) error {
	for i, err := range view.All(uplink.Key{}) {
		if err != nil {
			return err
		}
		if !i.Less(before) {
			break
		}
		if i.Kind != evidence.KindCalibration && i.Kind != evidence.KindConfiguration {
			continue
		}
		record, err := view.Record(i.Key)
		if err != nil {
			continue // damaged: another record may hold the same statement
		}
		sealed, err := evidence.Open(record)
		if err != nil {
			continue
		}
		text, _ := sealed.Record.Body[1].([]byte)
		own := sealed.Record
		switch {
		case i.Kind == evidence.KindCalibration && r.Calibration != nil && own.Calibration != nil &&
			own.Calibration.SHA256 == r.Calibration.SHA256:
			b.Calibration = text
		case i.Kind == evidence.KindConfiguration && own.Configuration.SHA256 == r.Configuration.SHA256:
			b.Configuration = text
		}
	}
	return nil
}
