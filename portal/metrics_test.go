package portal_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ciglio/portal"
	"ciglio/portal/portaltest"
	"ciglio/uplink/wire"
)

var (
	helpLine   = regexp.MustCompile(`^# HELP ([a-z_]+) (?:[^\\\n]|\\\\|\\n)+$`)
	typeLine   = regexp.MustCompile(`^# TYPE ([a-z_]+) (counter|gauge)$`)
	sampleLine = regexp.MustCompile(`^([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\\\|\\"|\\n)*",?)+)\})? (\S+)$`)
	labelPart  = regexp.MustCompile(`([a-z_]+)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"`)
)

// parseMetrics reads the text format strictly: each family in one piece, with HELP and TYPE
// before its samples, no series twice, counters that end in _total, and labels of these
// names only.
func parseMetrics(text []byte, labels ...string) (map[string]float64, error) {
	if !bytes.HasSuffix(text, []byte("\n")) {
		return nil, errors.New("the last line has no end")
	}
	values, families := map[string]float64{}, map[string]bool{}
	family, kind := "", ""
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line := lines.Text()
		if m := helpLine.FindStringSubmatch(line); m != nil {
			if families[m[1]] {
				return nil, fmt.Errorf("%s comes twice", m[1])
			}
			family, kind = m[1], ""
			families[family] = true
			continue
		}
		if m := typeLine.FindStringSubmatch(line); m != nil && m[1] == family && kind == "" {
			if kind = m[2]; (kind == "counter") != strings.HasSuffix(family, "_total") {
				return nil, fmt.Errorf("%s is a %s", family, kind)
			}
			continue
		}
		m := sampleLine.FindStringSubmatch(line)
		if m == nil || m[1] != family || kind == "" {
			return nil, fmt.Errorf("not in the format: %q", line)
		}
		for _, l := range labelPart.FindAllStringSubmatch(m[2], -1) {
			if !slices.Contains(labels, l[1]) {
				return nil, fmt.Errorf("a label %s", l[1])
			}
		}
		series := m[1] + "{" + m[2] + "}"
		if _, twice := values[series]; twice {
			return nil, fmt.Errorf("%s comes twice", series)
		}
		value, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			return nil, err
		}
		values[series] = value
	}
	return values, lines.Err()
}

func TestMetricsAreRead(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	dir := newCentre(t)
	if _, err := portal.Enrol(dir, d.ID, 1, d.Certificate); err != nil {
		t.Fatal(err)
	}
	p, _ := serveWith(t, portal.Options{Dir: dir, Metrics: "127.0.0.1:0"})
	session, receipts := connect(t, p, d)
	h := d.Heartbeat(t)
	for _, m := range [][]byte{h.Bytes, []byte("nonsense")} {
		if err := <-session.Publish(d.Message(wire.WhatRecord, m)); err != nil {
			t.Fatal(err)
		}
	}
	<-receipts
	checkpoint(t, p)
	ask := func() map[string]float64 {
		t.Helper()
		r, err := http.Get("http://" + p.MetricsAddr() + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "text/plain; version=0.0.4; charset=utf-8" {
			t.Fatalf("%s %q, %v", r.Status, r.Header.Get("Content-Type"), err)
		}
		for _, secret := range []string{d.ID.String(), h.ID.String(), "SP 14", dir} {
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("%s is in the figures", secret)
			}
		}
		values, err := parseMetrics(text, "measured", "reason", "lease")
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return values
	}
	values := ask()
	for values[`ciglio_messages_refused_total{reason="malformed"}`] < 1 && t.Context().Err() == nil { // it comes behind the record
		values = ask()
	}
	for series, want := range map[string]float64{
		`ciglio_records_settled_total{measured="false"}`: 1, `ciglio_records_settled_total{measured="true"}`: 0,
		`ciglio_log_entries{}`: 1, `ciglio_checkpoint_entries{}`: 1, `ciglio_log_publishing{}`: 1, `ciglio_database_up{}`: 1, `ciglio_blobs_up{}`: 1,
		`ciglio_records_incomplete{}`: 0, `ciglio_store_failing{}`: 0, `ciglio_broker_connected{}`: 1,
	} {
		if got, ok := values[series]; !ok || got != want {
			t.Errorf("%s is %v (there: %v), want %v", series, got, ok, want)
		}
	}
	if values[`ciglio_disk_free_bytes{}`] <= 0 || values[`ciglio_disk_free_bytes{}`] > values[`ciglio_disk_size_bytes{}`] {
		t.Errorf("%v of %v bytes are free", values[`ciglio_disk_free_bytes{}`], values[`ciglio_disk_size_bytes{}`])
	}
	if _, err := portal.New(t.Context(), portal.Options{Dir: newCentre(t), Listen: "127.0.0.1:0", MQTT: "127.0.0.1:0", Metrics: "0.0.0.0:0"}); !errors.Is(err, portal.ErrNotLoopback) {
		t.Errorf("figures for other machines: %v", err)
	}
}
