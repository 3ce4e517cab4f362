package tally_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/portal/tally"
)

// A million refusals of one client in ten minutes are eleven lines, and the
// counts in them add up to a million.
func TestH03_LinesAreFewAndCountEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		counts := tally.New(slog.New(slog.NewTextHandler(&out, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan bool)
		go func() { counts.Run(ctx); close(ended) }()
		const events, minutes = 1_000_000, 10
		key := tally.Key{Level: slog.LevelWarn, Message: "message refused", Device: "d1", Reason: "malformed"}
		for range minutes {
			time.Sleep(time.Second)
			for range events / minutes {
				counts.Add(key, "error", "nonsense")
			}
			time.Sleep(59 * time.Second)
		}
		counts.Add(tally.Key{Level: slog.LevelWarn, Message: "message refused", Device: "d2", Reason: "malformed"}, "error", "its own")
		cancel()
		<-ended
		lines, total := read(t, out.String())
		if total != events+1 {
			t.Errorf("the lines account for %d events, want %d", total, events+1)
		}
		if lines > minutes+3 {
			t.Errorf("%d lines, want about one a minute", lines)
		}
		if !strings.Contains(out.String(), `device=d2 reason=malformed error="its own"`) {
			t.Errorf("the other device's line is missing in\n%s", out.String())
		}
	})
}

// Whoever invents names does not make more lines with them.
func TestH03_InventedKeysAreCountedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		counts := tally.New(slog.New(slog.NewTextHandler(&out, nil)))
		const events = 10 * tally.MaxKeys
		for i := range events {
			counts.Add(tally.Key{Message: "refused", Device: fmt.Sprint(i)})
		}
		counts.Flush()
		lines, total := read(t, out.String())
		if lines > tally.MaxKeys+1 || total != events {
			t.Errorf("%d lines for %d events, want at most %d for %d", lines, total, tally.MaxKeys+1, events)
		}
		out.Reset()
		counts.Flush() // nothing came: the period ends, and with it the names
		counts.Add(tally.Key{Message: "refused", Device: "new"})
		if lines, _ := read(t, out.String()); lines != 1 {
			t.Errorf("%d lines for a first event, want it", lines)
		}
	})
}

// read counts lines and the events they account for.
func read(t *testing.T, out string) (lines, events int) {
	t.Helper()
	more := regexp.MustCompile(`times_more=(\d+)`)
	for line := range strings.Lines(out) {
		lines++
		if m := more.FindStringSubmatch(line); m != nil {
			n, err := strconv.Atoi(m[1])
			if err != nil {
				t.Fatal(err)
			}
			events += n
		} else {
			events++
		}
	}
	return lines, events
}
