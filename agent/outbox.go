package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"text/tabwriter"
	"time"

	"ciglio/agent/config"
	"ciglio/capture/evidence"
	"ciglio/uplink"
	"ciglio/uplink/outbox"
)

// The outbox commands read the store page by page and take no lock, so that they
// work while the service runs.

const outboxHint = "--dir names the outbox folder: device.dir of the configuration, then outbox"

// listAtOnce bounds how many records are held in memory at a time.
const listAtOnce = 1000

// dirFlag adds the flag that says where the store is.
func dirFlag(f flags) *string {
	return f.String("dir", outboxDir(config.Default()), "outbox `folder`")
}

// openView opens the store of a command that takes flags only, among them dir.
func openView(f flags, dir *string, args []string, stderr io.Writer) (view *outbox.View, exit int, ok bool) {
	if exit, ok := f.parseAlone(args); !ok {
		return nil, exit, false
	}
	view, err := outbox.OpenView(*dir, evidence.DeviceID{})
	if err != nil {
		return nil, fail(stderr, err, outboxHint), false
	}
	return view, exitGood, true
}

// outboxDir is where a device keeps its outbox.
func outboxDir(c *config.Config) string { return filepath.Join(c.Device.Dir, "outbox") }

func outboxStats(f flags) action {
	dir := dirFlag(f)
	return func(args []string, stdout, stderr io.Writer) int {
		view, exit, ok := openView(f, dir, args, stderr)
		if !ok {
			return exit
		}
		defer view.Close()
		s, report := view.Stats(), view.Report()
		var missing []string
		for _, r := range report.Missing {
			missing = append(missing, r.String())
		}
		if *f.json {
			v := map[string]any{
				"records": s.Records, "unsettled": s.Unsettled, "set_aside": s.SetAside, "damaged": s.Damaged,
				"segments": s.Segments, "bytes": s.Bytes, "epoch": s.Head.Epoch, "next": s.Head.Next, "missing": missing,
			}
			if !s.Oldest.IsZero() {
				v["oldest"] = s.Oldest.UTC()
			}
			printJSON(stdout, v)
			return exitGood
		}
		fmt.Fprintf(stdout, "%d records in %d segments, %d bytes\n", s.Records, s.Segments, s.Bytes)
		fmt.Fprintf(stdout, "%d wait for a receipt, %d of them set aside, %d damaged\n", s.Unsettled, s.SetAside, s.Damaged)
		if !s.Oldest.IsZero() {
			fmt.Fprintf(stdout, "the oldest of them is of %s\n", s.Oldest.UTC().Format(time.RFC3339))
		}
		fmt.Fprintf(stdout, "the next record is number %d of epoch %d\n", s.Head.Next, s.Head.Epoch)
		for _, r := range missing {
			fmt.Fprintf(stdout, "missing: %s\n", r)
		}
		return exitGood
	}
}

func outboxList(f flags) action {
	dir := dirFlag(f)
	return func(args []string, stdout, stderr io.Writer) int {
		view, exit, ok := openView(f, dir, args, stderr)
		if !ok {
			return exit
		}
		defer view.Close()
		table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
		if !*f.json {
			fmt.Fprintln(table, "EPOCH\tSEQ\tTIME\tKIND\tSTATE\tBYTES\tID\tNOTE")
		}
		for after := (uplink.Key{}); ; {
			items, err := view.List(after, listAtOnce)
			if err != nil {
				return fail(stderr, err, outboxHint)
			}
			if len(items) == 0 {
				break
			}
			for _, i := range items {
				if *f.json {
					printJSON(stdout, map[string]any{
						"epoch": i.Epoch, "seq": i.Seq, "time": i.Time.UTC(), "kind": i.Kind.String(),
						"state": i.State.String(), "bytes": i.Size, "id": i.ID.String(), "note": i.Note,
					})
					continue
				}
				fmt.Fprintf(table, "%d\t%d\t%s\t%v\t%v\t%d\t%.12s\t%s\n",
					i.Epoch, i.Seq, i.Time.UTC().Format(time.RFC3339), i.Kind, i.State, i.Size, i.ID.String(), i.Note)
			}
			after = items[len(items)-1].Key
		}
		table.Flush()
		return exitGood
	}
}

func outboxExport(f flags) action {
	out := f.String("out", ".", "`folder` for the bundles")
	epoch := f.Uint64("epoch", 0, "`number` of the epoch of the records; 0 means the present one")
	dir := dirFlag(f)
	return func(args []string, stdout, stderr io.Writer) int {
		texts, exit, ok := f.parse(args)
		if !ok {
			return exit
		}
		if len(texts) == 0 {
			f.Usage()
			return exitUsage
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
		if *epoch == 0 {
			*epoch = view.Stats().Head.Epoch
		}
		if err := os.MkdirAll(*out, 0o755); err != nil {
			return fail(stderr, err, "--out names the folder for the bundles")
		}
		for _, seq := range seqs {
			path := filepath.Join(*out, fmt.Sprintf("%d-%d.zip", *epoch, seq))
			if err := export(view, uplink.Key{Epoch: *epoch, Seq: seq}, path); err != nil {
				return fail(stderr, err, "ciglio outbox list shows which records there are")
			}
			if *f.json {
				printJSON(stdout, map[string]any{"epoch": *epoch, "seq": seq, "file": path})
			} else {
				fmt.Fprintln(stdout, path)
			}
		}
		return exitGood
	}
}

// export writes the bundle of one record. The file appears whole or not at all.
func export(view *outbox.View, k uplink.Key, path string) error {
	record, err := view.Record(k)
	if err != nil {
		return err
	}
	sealed, err := evidence.Open(record)
	if err != nil {
		return fmt.Errorf("record %d: %w", k.Seq, err)
	}
	b := &evidence.Bundle{Record: record}
	r := sealed.Record
	for i := range r.Frames {
		frame, err := view.Blob(k, i)
		if err != nil {
			return err
		}
		b.Frames = append(b.Frames, frame)
	}
	if r.Trace != nil {
		if b.Trace, err = view.Blob(k, len(r.Frames)); err != nil {
			return err
		}
	}
	if b.Receipt, err = view.Receipt(k); err != nil && !errors.Is(err, outbox.ErrNotFound) {
		return err
	}
	if err := findStatements(view, k, r, b); err != nil {
		return err
	}
	return writeWhole(path, func(w io.Writer) error { return evidence.WriteBundle(w, b) })
}

// writeWhole writes a file that others may read. It appears whole and on disk,
// or not at all.
func writeWhole(path string, write func(io.Writer) error) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) // fails once renamed
	if err := errors.Join(write(temporary), temporary.Chmod(0o644), temporary.Sync(), temporary.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// findStatements adds the calibration and configuration that the record names,
// as far as the chain before it still holds them.
func findStatements(view *outbox.View, before uplink.Key, r *evidence.Record, b *evidence.Bundle) error {
	for after := (uplink.Key{}); ; {
		items, err := view.List(after, listAtOnce)
		if err != nil || len(items) == 0 {
			return err
		}
		for _, i := range items {
			if !i.Less(before) {
				return nil
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
		after = items[len(items)-1].Key
	}
}
