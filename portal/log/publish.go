package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
)

// A Source is where the log is stored. It is safe for concurrent use.
type Source interface {
	Settled(context.Context) (uint64, error)                                  // how many entries there are
	Hashes(context.Context) tlog.HashReader                                   // by stored position
	LogEntries(ctx context.Context, from, to uint64) ([]evidence.Hash, error) // of records, in order, to excluded
	// Checkpoint returns the newest that a process has put there, of whatever size; the
	// error is none of the store when Published says so.
	Checkpoint(context.Context) ([]byte, error)
	PutCheckpoint(ctx context.Context, size int64, signed []byte) error
}

// ErrRolledBack says that the store holds less than what was published, or something
// else: it was put back from a backup, or exchanged. Nothing is published until the
// store is again what it was.
var ErrRolledBack = errors.New("the store is not what was published")

// A Witness holds a log to what it has said before. See https://c2sp.org/tlog-witness.
type Witness struct {
	Verifier *torchwood.CosignatureVerifier
	URL      string // add-checkpoint is below it
}

// ParseWitnesses reads the witness lines of a policy: "witness NAME KEY URL" each. Empty
// lines, comments and what a policy says about logs, groups and quorums are passed over.
func ParseWitnesses(text string) ([]Witness, error) {
	var all []Witness
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != "witness" {
			continue
		}
		if len(f) != 4 || !strings.HasPrefix(f[3], "http://") && !strings.HasPrefix(f[3], "https://") {
			return nil, fmt.Errorf("%q: want witness NAME KEY URL", strings.TrimSpace(line))
		}
		v, err := torchwood.NewCosignatureVerifier(f[2])
		if err != nil {
			return nil, fmt.Errorf("witness %s: %w", f[1], err)
		}
		all = append(all, Witness{Verifier: v, URL: strings.TrimSuffix(f[3], "/")})
	}
	return all, nil
}

// Options of a Publisher.
type Options struct {
	Source    Source
	Key       *Key
	File      string // keeps the newest checkpoint
	Witnesses []Witness
	Every     time.Duration // between looks at the log; 0 means 5 s
	Client    *http.Client  // nil means one that waits at most 10 s
	Log       *slog.Logger  // nil: nothing is logged
}

// A Publisher signs the log as it grows, has witnesses cosign it, and keeps the newest
// checkpoint in a file, so that a centre that starts again never says less than before,
// and in the source, for the processes that serve it. One process at a time runs Run; any
// may Follow. Its methods are safe for concurrent use.
type Publisher struct {
	o      Options
	silent map[string]bool  // witnesses that did not cosign the last one
	sizes  map[string]int64 // what each witness is known to have
	put    bool             // the source has the newest
	tiles  chan struct{}    // being read

	mu      sync.Mutex
	signed  []byte // nil: nothing is published yet
	tree    tlog.Tree
	trouble error
}

// NewPublisher reads what was published before.
func NewPublisher(o Options) (*Publisher, error) {
	if o.Every == 0 {
		o.Every = 5 * time.Second
	}
	if o.Client == nil {
		o.Client = &http.Client{Timeout: 10 * time.Second}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &Publisher{o: o, silent: map[string]bool{}, sizes: map[string]int64{}, tiles: make(chan struct{}, maxTiles)}
	signed, err := durable.ReadAtMost(o.File, maxCheckpoint)
	if errors.Is(err, os.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	tree, err := p.verify(signed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.File, err)
	}
	p.signed, p.tree = signed, tree
	return p, nil
}

// verify checks that a checkpoint is the log's own.
func (p *Publisher) verify(signed []byte) (tlog.Tree, error) {
	v, err := note.NewVerifier(p.o.Key.Verifier())
	if err != nil {
		return tlog.Tree{}, err
	}
	c, _, err := torchwood.VerifyCheckpoint(signed, Signed(v))
	return c.Tree, err
}

// follow takes over what another process has published.
func (p *Publisher) follow(ctx context.Context) error {
	signed, err := p.o.Source.Checkpoint(ctx)
	if err != nil || signed == nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if bytes.Equal(signed, p.signed) {
		return nil
	}
	tree, err := p.verify(signed)
	if err == nil && tree.N >= p.tree.N {
		p.signed, p.tree = signed, tree
	}
	return err
}

// Follow serves what other processes publish, until ctx ends.
func (p *Publisher) Follow(ctx context.Context) {
	tick := time.NewTicker(p.o.Every)
	defer tick.Stop()
	failing := false
	for {
		err := p.follow(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			p.o.Log.Error("the published log cannot be read", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// maxCheckpoint is the longest checkpoint with its cosignatures, in bytes.
const maxCheckpoint = 64 << 10

// Checkpoint returns the newest signed checkpoint and its tree; nil before the first.
func (p *Publisher) Checkpoint() ([]byte, tlog.Tree) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.signed, p.tree
}

// Trouble is why Run could not publish at its last look; nil when it could.
func (p *Publisher) Trouble() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.trouble
}

// Run publishes until ctx ends.
func (p *Publisher) Run(ctx context.Context) {
	defer func() {
		p.mu.Lock()
		p.trouble = nil // it is another's to tell
		p.mu.Unlock()
	}()
	tick := time.NewTicker(p.o.Every)
	defer tick.Stop()
	for {
		err := p.Publish(ctx)
		if ctx.Err() != nil {
			return
		}
		if before := p.Trouble(); err != nil && (before == nil || before.Error() != err.Error()) {
			p.o.Log.Error("the log is not published", "error", err)
		}
		p.mu.Lock()
		p.trouble = err
		p.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Publish signs the log if it has grown, and asks witnesses that have not cosigned what
// is newest. A witness that cannot be reached holds nothing up: it is logged and asked
// again. One that has cosigned what this store does not hold has nothing published: the
// error wraps [ErrRolledBack].
func (p *Publisher) Publish(ctx context.Context) error {
	if err := p.follow(ctx); err != nil {
		return err
	}
	signed, tree := p.Checkpoint()
	settled, err := p.o.Source.Settled(ctx)
	if err != nil {
		return err
	}
	hashes := p.o.Source.Hashes(ctx)
	if err := holds(hashes, tree, int64(settled)); err != nil {
		return err
	}
	grown := int64(settled) > tree.N
	if grown {
		tree = tlog.Tree{N: int64(settled)}
		if tree.Hash, err = tlog.TreeHash(tree.N, hashes); err != nil {
			return err
		}
		if signed, err = p.o.Key.sign(torchwood.Checkpoint{Origin: p.o.Key.Name(), Tree: tree}); err != nil {
			return err
		}
	}
	if tree.N == 0 {
		return nil
	}
	cosigned, err := p.cosign(ctx, signed, tree, hashes)
	if err != nil {
		return err
	}
	if !grown && p.put && bytes.Equal(cosigned, signed) {
		return nil
	}
	// Published is what is on disk: after a power cut nothing older is said.
	if err := durable.WriteFile(p.o.File, cosigned, 0o644); err != nil {
		return err
	}
	p.mu.Lock()
	p.signed, p.tree = cosigned, tree
	p.mu.Unlock()
	err = p.o.Source.PutCheckpoint(ctx, tree.N, cosigned)
	p.put = err == nil
	return err
}

// holds checks that a log still is what was published of it.
func holds(hashes tlog.HashReader, published tlog.Tree, size int64) error {
	if size < published.N {
		return fmt.Errorf("%w: %d entries were, %d are there", ErrRolledBack, published.N, size)
	}
	if published.N == 0 {
		return nil
	}
	root, err := tlog.TreeHash(published.N, hashes)
	if err == nil && root != published.Hash {
		err = fmt.Errorf("%w: the first %d entries have another root", ErrRolledBack, published.N)
	}
	return err
}

// ReadCheckpoint reads a checkpoint that the log of a public key has signed.
func ReadCheckpoint(signed []byte, verifier string) (tlog.Tree, error) {
	v, err := note.NewVerifier(verifier)
	if err != nil {
		return tlog.Tree{}, err
	}
	c, _, err := torchwood.VerifyCheckpoint(signed, Signed(v))
	return c.Tree, err
}

// Held fails with [ErrRolledBack] unless the source holds what was published by any
// process: whoever appends to the log asks first.
func (p *Publisher) Held(ctx context.Context) error {
	if err := p.follow(ctx); err != nil {
		return err
	}
	_, tree := p.Checkpoint()
	return Holds(ctx, p.o.Source, tree)
}

// Holds fails with [ErrRolledBack] unless a log still is what was published of it.
func Holds(ctx context.Context, s Source, published tlog.Tree) error {
	settled, err := s.Settled(ctx)
	if err != nil {
		return err
	}
	return holds(s.Hashes(ctx), published, int64(settled))
}

// cosign returns a checkpoint with the cosignatures of the witnesses that lacked. One
// that has cosigned a longer log, or another past, is believed: the store here is not
// the newest.
func (p *Publisher) cosign(ctx context.Context, signed []byte, tree tlog.Tree, hashes tlog.HashReader) ([]byte, error) {
	lines := make([]string, len(p.o.Witnesses))
	errs := make([]error, len(p.o.Witnesses))
	sizes := make([]int64, len(p.o.Witnesses))
	var asked sync.WaitGroup
	for i, w := range p.o.Witnesses {
		if has(signed, w) {
			continue
		}
		old := p.sizes[w.URL]
		asked.Go(func() { lines[i], sizes[i], errs[i] = p.ask(ctx, w, old, signed, tree, hashes) })
	}
	asked.Wait()
	for i, w := range p.o.Witnesses {
		switch {
		case errors.Is(errs[i], ErrRolledBack):
			return nil, fmt.Errorf("witness %s: %w", w.Verifier.Name(), errs[i])
		case errs[i] != nil && !p.silent[w.URL]:
			p.o.Log.Warn("a witness does not cosign the log", "witness", w.Verifier.Name(), "error", errs[i])
			p.silent[w.URL] = true
		case lines[i] != "":
			signed = append(slices.Clip(signed), lines[i]...)
			p.sizes[w.URL] = sizes[i]
			if p.silent[w.URL] {
				p.o.Log.Info("a witness cosigns the log again", "witness", w.Verifier.Name())
				delete(p.silent, w.URL)
			}
		}
	}
	return signed, nil
}

// has reports whether a checkpoint has a witness's cosignature.
func has(signed []byte, w Witness) bool {
	n, err := note.Open(signed, note.VerifierList(w.Verifier))
	return err == nil && len(n.Sigs) > 0
}

// ask has one witness cosign a checkpoint. A witness that knows another size says so, and
// is asked once more from there.
func (p *Publisher) ask(ctx context.Context, w Witness, old int64, signed []byte, tree tlog.Tree, hashes tlog.HashReader) (line string, size int64, err error) {
	for range 2 {
		body, err := addCheckpoint(old, signed, tree, hashes)
		if err != nil {
			return "", 0, err
		}
		status, answer, err := p.post(ctx, w.URL+"/add-checkpoint", body)
		switch {
		case err != nil:
			return "", 0, err
		case status == http.StatusOK:
			line, err := cosignature(signed, answer, w)
			return line, tree.N, err
		case status == http.StatusUnprocessableEntity:
			return "", 0, fmt.Errorf("%w: it has cosigned another past: %.200q", ErrRolledBack, answer)
		case status != http.StatusConflict:
			return "", 0, fmt.Errorf("it answers %d: %.200q", status, answer)
		}
		known, err := strconv.ParseInt(strings.TrimSpace(string(answer)), 10, 64)
		if err == nil && known > tree.N {
			return "", 0, fmt.Errorf("%w: it has cosigned %d entries, %d are there", ErrRolledBack, known, tree.N)
		}
		if err != nil || known < 0 {
			return "", 0, fmt.Errorf("it knows a log of size %.50q, this one has %d", answer, tree.N)
		}
		old = known
	}
	return "", 0, fmt.Errorf("%w: it has cosigned another log of this name", ErrRolledBack)
}

func (p *Publisher) post(ctx context.Context, url string, body []byte) (status int, answer []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	response, err := p.o.Client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(response.Body, maxCheckpoint))
	return response.StatusCode, answer, err
}

// addCheckpoint is the body that asks a witness: the size it knows, the proof that the tree
// holds that one, the checkpoint.
func addCheckpoint(old int64, signed []byte, tree tlog.Tree, hashes tlog.HashReader) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "old %d\n", old)
	if old > 0 && old < tree.N {
		proof, err := tlog.ProveTree(tree.N, old, hashes)
		if err != nil {
			return nil, err
		}
		for _, h := range proof {
			fmt.Fprintf(&b, "%v\n", h)
		}
	}
	b.WriteByte('\n')
	b.Write(signed)
	return b.Bytes(), nil
}

// cosignature returns the line of a witness's answer that cosigns the checkpoint.
func cosignature(signed, answer []byte, w Witness) (string, error) {
	for line := range strings.Lines(string(answer)) {
		if strings.HasPrefix(line, "— ") && strings.HasSuffix(line, "\n") && has(append(slices.Clip(signed), line...), w) {
			return line, nil
		}
	}
	return "", errors.New("its answer holds no cosignature of its key")
}
