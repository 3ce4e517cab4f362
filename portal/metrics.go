package portal

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"ciglio/internal/pages"
	"ciglio/portal/intake"
	"ciglio/portal/metrics"
)

// watch serves the figures until ctx ends.
func (p *Portal) watch(ctx context.Context, l net.Listener) error {
	server := &http.Server{Handler: metrics.Handler(p.measure), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 8 << 10}
	return pages.Serve(ctx, server, l, time.Second)
}

// asking is how long a figure waits for the store.
const asking = 5 * time.Second

// measure writes all figures.
func (p *Portal) measure(ctx context.Context, t *metrics.Text) {
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	s := p.Stats()
	byMeasured := func(name, help string, of func(intake.Counts) uint64) {
		t.Family(name, metrics.Counter, help,
			metrics.Sample{Labels: []string{"measured", "true"}, Value: float64(of(s.Measured))},
			metrics.Sample{Labels: []string{"measured", "false"}, Value: float64(of(s.All) - of(s.Measured))})
	}
	counter := func(name, help string, value uint64) { t.One(name, metrics.Counter, help, float64(value)) }
	gauge := func(name, help string, value float64) { t.One(name, metrics.Gauge, help, value) }
	counter("ciglio_messages_total", "Messages of devices, of any kind.", s.Messages)
	byMeasured("ciglio_records_received_total", "Well-formed records, each time they came.", func(c intake.Counts) uint64 { return c.Received })
	byMeasured("ciglio_records_verified_total", "Records stored as evidence.", func(c intake.Counts) uint64 { return c.Verified })
	byMeasured("ciglio_records_settled_total", "Records receipted for the first time.", func(c intake.Counts) uint64 { return c.Settled })
	counter("ciglio_records_again_total", "Records that were already stored.", s.Again)
	counter("ciglio_receipts_total", "Receipts sealed.", s.Receipts)
	counter("ciglio_chunks_total", "Chunks of pictures and traces stored.", s.Chunks)
	counter("ciglio_blobs_total", "Pictures and traces that became whole.", s.Blobs)
	counter("ciglio_equivocations_total", "Second records of one number.", s.Equivocations)
	counter("ciglio_transactions_failed_total", "Transactions of the intake that failed.", s.Failed)
	counter("ciglio_answers_unsaid_total", "Answers that the end of the program overtook.", s.Unanswered)
	if p.broker != nil {
		counter("ciglio_answers_dropped_total", "Messages to devices that the embedded broker dropped.", p.broker.Dropped())
	}
	var refused []metrics.Sample
	for reason, n := range s.Refused { // a closed list
		refused = append(refused, metrics.Sample{Labels: []string{"reason", string(reason)}, Value: float64(n)})
	}
	slices.SortFunc(refused, func(a, b metrics.Sample) int { return slices.Compare(a.Labels, b.Labels) })
	t.Family("ciglio_messages_refused_total", metrics.Counter, "Messages that were not taken, by reason.", refused...)
	gauge("ciglio_answers_waiting", "Receipts and commands on their way to the broker.", float64(s.Answering))
	gauge("ciglio_messages_waiting", "Messages and changes on their way to the store.", float64(s.Waiting))
	gauge("ciglio_receipts_held", "Records dated ahead, whose receipt waits until then.", float64(s.Held))
	gauge("ciglio_store_failing", "1 when the store takes nothing, or nothing is settled.", metrics.Bool(s.Failing))
	gauge("ciglio_broker_connected", "1 when both sessions with the broker are open.", metrics.Bool(s.Connected))
	p.measureStore(ctx, t, gauge)
	_, tree := p.published.Checkpoint()
	gauge("ciglio_checkpoint_entries", "Entries of the log that are published.", float64(tree.N))
	gauge("ciglio_log_publishing", "1 when the log could be published at the last look.", metrics.Bool(p.published.Trouble() == nil))
	if info, err := os.Stat(filepath.Join(p.dir, checkpointName)); err == nil {
		gauge("ciglio_checkpoint_timestamp_seconds", "When the newest checkpoint was written, in seconds since 1970 UTC.", float64(info.ModTime().Unix()))
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(p.dir, &disk); err == nil {
		gauge("ciglio_disk_free_bytes", "Free for the centre on the disk of its folder.", float64(disk.Bavail)*float64(disk.Bsize))
		gauge("ciglio_disk_size_bytes", "Size of that disk.", float64(disk.Blocks)*float64(disk.Bsize))
	}
}

// measureStore asks the database and the blob store. What does not answer has no figure
// but that.
func (p *Portal) measureStore(ctx context.Context, t *metrics.Text, gauge func(name, help string, value float64)) {
	began := time.Now()
	err := p.store.CheckDatabase(ctx)
	gauge("ciglio_database_up", "1 when the database answers.", metrics.Bool(err == nil))
	gauge("ciglio_database_answer_seconds", "How long it took just now to answer the smallest question.", time.Since(began).Seconds())
	began = time.Now()
	err = p.store.Blobs().Check(ctx)
	gauge("ciglio_blobs_up", "1 when the store of pictures and traces answers.", metrics.Bool(err == nil))
	gauge("ciglio_blobs_answer_seconds", "How long it took just now to answer.", time.Since(began).Seconds())
	if totals, err := p.store.Totals(ctx); err == nil {
		gauge("ciglio_records_incomplete", "Records that wait for pictures, or for their time.", float64(totals.Incomplete))
		gauge("ciglio_records_set_aside", "Records that are never receipted.", float64(totals.SetAside))
		gauge("ciglio_records_missing", "Numbers that never came though later ones have.", float64(totals.Missing))
		gauge("ciglio_messages_quarantined", "Refused messages that are kept.", float64(totals.Quarantined))
	}
	if size, err := p.store.Settled(ctx); err == nil {
		gauge("ciglio_log_entries", "Entries of the log.", float64(size))
	}
	leases, err := p.store.Leases(ctx)
	if err != nil {
		return
	}
	var held, terms []metrics.Sample
	for _, l := range leases { // as many as there are kinds of work
		held = append(held, metrics.Sample{Labels: []string{"lease", l.Name}, Value: metrics.Bool(l.Held)})
		terms = append(terms, metrics.Sample{Labels: []string{"lease", l.Name}, Value: float64(l.Term)})
	}
	t.Family("ciglio_lease_held", metrics.Gauge, "1 when some process holds the lease.", held...)
	t.Family("ciglio_lease_term", metrics.Gauge, "Rises each time a lease goes to another holder.", terms...)
}
