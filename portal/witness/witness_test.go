package witness_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"ciglio/capture/evidence"
	"ciglio/portal/log"
	"ciglio/portal/witness"
)

// memory is a log whose entries a test appends.
type memory struct {
	mu     sync.Mutex
	ids    []evidence.Hash
	hashes []tlog.Hash
	tree   log.Tree
}

func (m *memory) grow(t testing.TB, n int, seed string) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.tree.Begin()
	for range n {
		id := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(seed), uint64(len(m.ids))))
		m.ids = append(m.ids, id)
		b.Append(id)
	}
	_, fresh := b.Hashes()
	m.hashes = append(m.hashes, fresh...)
	m.tree = b.Tree()
}

// Others serve nothing here.
func (m *memory) Checkpoint(context.Context) ([]byte, error)         { return nil, nil }
func (m *memory) PutCheckpoint(context.Context, int64, []byte) error { return nil }

func (m *memory) Settled(context.Context) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return uint64(len(m.ids)), nil
}

func (m *memory) Hashes(context.Context) tlog.HashReader {
	return tlog.HashReaderFunc(func(positions []int64) ([]tlog.Hash, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		var out []tlog.Hash
		for _, p := range positions {
			if p >= int64(len(m.hashes)) {
				return nil, fmt.Errorf("no hash at %d", p)
			}
			out = append(out, m.hashes[p])
		}
		return out, nil
	})
}

func (m *memory) LogEntries(_ context.Context, from, to uint64) ([]evidence.Hash, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ids[from:min(to, uint64(len(m.ids)))], nil
}

var quiet = slog.New(slog.DiscardHandler)

// a running witness, with its line in a policy.
func run(t *testing.T, dir, name string, logs ...string) (line string, stop func()) {
	t.Helper()
	key, err := log.OpenWitnessKey(filepath.Join(dir, name+".key"), name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := witness.New(filepath.Join(dir, name), key, logs, quiet)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			server.Close()
			s.Close()
		}
	}
	t.Cleanup(stop)
	return fmt.Sprintf("witness %s %s %s/\n", name, key.Verifier(), server.URL), stop
}

func openKey(t testing.TB, dir string) *log.Key {
	t.Helper()
	key, err := log.OpenKey(filepath.Join(dir, "log.key"), "ciglio.example/log")
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func publisher(t testing.TB, source log.Source, key *log.Key, file, policy string) *log.Publisher {
	t.Helper()
	witnesses, err := log.ParseWitnesses(policy)
	if err != nil {
		t.Fatal(err)
	}
	p, err := log.NewPublisher(log.Options{Source: source, Key: key, File: file, Witnesses: witnesses})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// publish returns what is published then.
func publish(t testing.TB, p *log.Publisher) (signed []byte) {
	t.Helper()
	if err := p.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	signed, _ = p.Checkpoint()
	return signed
}

// TestStandardClientReadsTheLog grows a log, has two witnesses cosign it, and reads it with
// a client that was written by others: every entry, proved by a checkpoint that both cosigned.
func TestStandardClientReadsTheLog(t *testing.T) {
	dir := t.TempDir()
	key, source := openKey(t, dir), &memory{}
	one, _ := run(t, dir, "one.example", key.Verifier())
	two, _ := run(t, dir, "two.example", key.Verifier())
	policy := "log " + key.Verifier() + "\n" + one + two + "group both all one.example two.example\nquorum both\n"
	p := publisher(t, source, key, filepath.Join(dir, "checkpoint"), policy)
	server := httptest.NewServer(http.StripPrefix("/log", p))
	defer server.Close()

	if got, err := http.Get(server.URL + "/log/checkpoint"); err != nil || got.StatusCode != http.StatusNotFound {
		t.Errorf("a checkpoint of nothing: %v, %v", got, err)
	}
	judge, err := torchwood.ParsePolicy([]byte(policy))
	if err != nil {
		t.Fatal(err)
	}
	fetch, err := torchwood.NewTileFetcher(server.URL+"/log", torchwood.WithUserAgent("test"))
	if err != nil {
		t.Fatal(err)
	}
	for _, more := range []int{1, 1, 253, 1, 1, 255, 66_000} {
		source.grow(t, more, "a")
		publish(t, p)
		signed, err := fetch.ReadEndpoint(t.Context(), "checkpoint")
		if err != nil {
			t.Fatal(err)
		}
		c, _, err := torchwood.VerifyCheckpoint(signed, judge)
		if err != nil || c.N != int64(len(source.ids)) || evidence.Hash(c.Hash) != source.tree.Root() {
			t.Fatalf("checkpoint of %d, want %d: %v\n%s", c.N, len(source.ids), err, signed)
		}
		client, err := torchwood.NewClient(fetch)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for i, entry := range client.AllEntries(t.Context(), c.Tree, 0) {
			if !bytes.Equal(entry, source.ids[i][:]) {
				t.Fatalf("entry %d = %x", i, entry)
			}
			n++
		}
		if err := client.Err(); err != nil || n != len(source.ids) {
			t.Fatalf("read %d of %d entries: %v", n, len(source.ids), err)
		}
	}
	for _, path := range []string{"", "checkpoints", "tile/0/262", "tile/0/261.p/11", "tile/0/261.p/0", "tile/9/000", "tile/0/1.p/256", "tile/entries/300", "tile/63/000", "tile/0/-1", "tile/data/0", "../root.key", "tile/0/x000/000/000/000/000/000/000"} {
		r := httptest.NewRecorder()
		p.ServeHTTP(r, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/" + path}})
		if r.Code != http.StatusNotFound {
			t.Errorf("%q: %d", path, r.Code)
		}
	}
}

// A slow source answers when it is let.
type slow struct {
	*memory
	asked chan struct{}
	let   chan struct{}
}

func (s slow) LogEntries(ctx context.Context, from, to uint64) ([]evidence.Hash, error) {
	s.asked <- struct{}{}
	<-s.let
	return s.memory.LogEntries(ctx, from, to)
}

// Whoever reads the log without end leaves the source to those who store.
func TestReadersOfTheLogTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := slow{&memory{}, make(chan struct{}, 100), make(chan struct{})}
		source.grow(t, 5, "a")
		p := publisher(t, source, openKey(t, t.TempDir()), filepath.Join(t.TempDir(), "checkpoint"), "")
		publish(t, p)
		var reading sync.WaitGroup
		read := func(ctx context.Context) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			reading.Go(func() {
				p.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/tile/entries/000.p/5", nil))
			})
			return w
		}
		var all []*httptest.ResponseRecorder
		for range 20 {
			all = append(all, read(t.Context()))
		}
		gone, leave := context.WithCancel(t.Context())
		left := read(gone)
		leave()
		synctest.Wait()
		if len(source.asked) != 4 {
			t.Errorf("%d read at once, want 4", len(source.asked))
		}
		close(source.let)
		reading.Wait()
		for i, w := range all {
			if w.Code != 200 || w.Body.Len() != 5*34 {
				t.Errorf("reader %d: %d, %d bytes", i+1, w.Code, w.Body.Len())
			}
		}
		if left.Body.Len() > 0 {
			t.Errorf("who has left is told %q", left.Body)
		}
	})
}

// TestWitnessHoldsTheLog tries what a centre that changes its past could do.
func TestWitnessHoldsTheLog(t *testing.T) {
	dir := t.TempDir()
	key, source := openKey(t, dir), &memory{}
	line, stop := run(t, dir, "one.example", key.Verifier())
	source.grow(t, 300, "a")
	cosignedBy(t, publish(t, publisher(t, source, key, filepath.Join(dir, "checkpoint"), line)), line, true)

	// The same centre starts again with a store in which an early record was exchanged.
	forked := &memory{}
	forked.grow(t, 400, "b")
	if err := publisher(t, forked, key, filepath.Join(dir, "checkpoint"), line).Publish(t.Context()); !errors.Is(err, log.ErrRolledBack) {
		t.Errorf("another past is published: %v", err)
	}
	// With a shorter one.
	short := &memory{}
	short.grow(t, 299, "a")
	if err := publisher(t, short, key, filepath.Join(dir, "checkpoint"), line).Publish(t.Context()); !errors.Is(err, log.ErrRolledBack) {
		t.Errorf("less is published: %v", err)
	}
	// It forgets what it published, as a store that is put back from an old copy does: the
	// witness does not, over a restart either, and nothing is published.
	stop()
	line, _ = run(t, dir, "one.example", key.Verifier())
	same := &memory{}
	same.grow(t, 300, "b")
	for name, other := range map[string]*memory{"another past": forked, "less": short, "another past of the same size": same} {
		file := filepath.Join(dir, "forgot "+name)
		if err := publisher(t, other, key, file, line).Publish(t.Context()); !errors.Is(err, log.ErrRolledBack) {
			t.Errorf("%s is published, and a witness knows better: %v", name, err)
		}
		if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s was published: %v", name, err)
		}
	}

	// The true log goes on.
	source.grow(t, 5, "a")
	cosignedBy(t, publish(t, publisher(t, source, key, filepath.Join(dir, "checkpoint"), line)), line, true)
}

// TestWitnessAway publishes without it, and has it cosign when it is back.
func TestWitnessAway(t *testing.T) {
	dir := t.TempDir()
	key, source := openKey(t, dir), &memory{}
	away := true
	k, err := log.OpenWitnessKey(filepath.Join(dir, "w.key"), "one.example")
	if err != nil {
		t.Fatal(err)
	}
	s, err := witness.New(filepath.Join(dir, "w"), k, []string{key.Verifier()}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away {
			http.Error(w, "away", http.StatusBadGateway)
			return
		}
		s.ServeHTTP(w, r)
	}))
	defer server.Close()
	line := fmt.Sprintf("witness one.example %s %s\n", k.Verifier(), server.URL)
	p := publisher(t, source, key, filepath.Join(dir, "checkpoint"), line)
	source.grow(t, 3, "a")
	for range 2 {
		if err := p.Publish(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	signed, tree := p.Checkpoint()
	if cosignedBy(t, signed, line, false); tree.N != 3 {
		t.Errorf("%d entries are published without the witness", tree.N)
	}
	away = false
	signed = publish(t, p)
	cosignedBy(t, signed, line, true)
	// What is served after a restart is what was cosigned.
	again, _ := publisher(t, source, key, filepath.Join(dir, "checkpoint"), line).Checkpoint()
	if !bytes.Equal(again, signed) {
		t.Error("after a restart another checkpoint is served")
	}
}

func cosignedBy(t *testing.T, signed []byte, line string, want bool) {
	t.Helper()
	w, err := log.ParseWitnesses(line)
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(signed, note.VerifierList(w[0].Verifier))
	if got := err == nil && len(n.Sigs) == 1; got != want {
		t.Errorf("cosigned: %v, want %v (%v)\n%s", got, want, err, signed)
	}
}

// TestRefusals asks a witness what it must not cosign.
func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	key := openKey(t, dir)
	stranger, err := log.OpenKey(filepath.Join(dir, "stranger.key"), "ciglio.example/log")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := log.OpenKey(filepath.Join(dir, "elsewhere.key"), "another.example")
	if err != nil {
		t.Fatal(err)
	}
	k, err := log.OpenWitnessKey(filepath.Join(dir, "w.key"), "one.example")
	if err != nil {
		t.Fatal(err)
	}
	s, err := witness.New(filepath.Join(dir, "w"), k, []string{key.Verifier()}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m := &memory{}
	m.grow(t, 10, "a")
	checkpoint := func(k *log.Key, n int64) string {
		t.Helper()
		root, err := tlog.TreeHash(n, m.Hashes(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		signed, err := note.Sign(&note.Note{Text: torchwood.Checkpoint{Origin: k.Name(), Tree: tlog.Tree{N: n, Hash: root}}.String()}, k)
		if err != nil {
			t.Fatal(err)
		}
		return string(signed)
	}
	proof := func(n, old int64) (lines string) {
		t.Helper()
		hashes, err := tlog.ProveTree(n, old, m.Hashes(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range hashes {
			lines += h.String() + "\n"
		}
		return lines
	}
	good := "old 0\n\n" + checkpoint(key, 5)
	for _, c := range []struct {
		name, body string
		status     int
		answer     string
	}{
		{"nothing", "", 400, ""},
		{"no size", "\n\n" + checkpoint(key, 5), 400, ""},
		{"a size with a sign", "old +0\n\n" + checkpoint(key, 5), 400, ""},
		{"a size with zeros", "old 00\n\n" + checkpoint(key, 5), 400, ""},
		{"a negative size", "old -1\n\n" + checkpoint(key, 5), 400, ""},
		{"a hash that is none", "old 0\nabc\n\n" + checkpoint(key, 5), 400, ""},
		{"too many hashes", "old 0\n" + strings.Repeat(tlog.Hash{}.String()+"\n", 64) + "\n" + checkpoint(key, 5), 400, ""},
		{"old beyond", "old 6\n\n" + checkpoint(key, 5), 400, ""},
		{"too long", "old 0\n\n" + checkpoint(key, 5) + strings.Repeat("x", 70<<10), 400, ""},
		{"another origin", "old 0\n\n" + checkpoint(elsewhere, 5), 404, ""},
		{"another key", "old 0\n\n" + checkpoint(stranger, 5), 403, ""},
		{"a changed size", "old 0\n\n" + strings.Replace(checkpoint(key, 5), "\n5\n", "\n6\n", 1), 403, ""},
		{"a proof for nothing", "old 0\n" + tlog.Hash{}.String() + "\n\n" + checkpoint(key, 5), 422, ""},
		{"good", good, 200, "— one.example "},
		{"good again, by its size", "old 5\n\n" + checkpoint(key, 5), 200, "— one.example "},
		{"from nothing again", good, 409, "5\n"},
		{"from a size that is not the last", "old 3\n" + proof(8, 3) + "\n" + checkpoint(key, 8), 409, "5\n"},
		{"no proof", "old 5\n\n" + checkpoint(key, 8), 422, ""},
		{"another's proof", "old 5\n" + proof(9, 5) + tlog.Hash{}.String() + "\n\n" + checkpoint(key, 8), 422, ""},
		{"good, larger", "old 5\n" + proof(8, 5) + "\n" + checkpoint(key, 8), 200, "— one.example "},
		{"smaller", "old 5\n\n" + checkpoint(key, 5), 409, "8\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRecorder()
			s.ServeHTTP(r, httptest.NewRequest(http.MethodPost, "/add-checkpoint", strings.NewReader(c.body)))
			body, _ := io.ReadAll(r.Result().Body)
			if r.Code != c.status || !strings.HasPrefix(string(body), c.answer) {
				t.Errorf("%d %q, want %d %q", r.Code, body, c.status, c.answer)
			}
		})
	}
	if r := httptest.NewRecorder(); true {
		if s.ServeHTTP(r, httptest.NewRequest(http.MethodGet, "/add-checkpoint", nil)); r.Code != http.StatusMethodNotAllowed {
			t.Errorf("GET: %d", r.Code)
		}
	}
}

// TestManyAtOnce has requests race: what is cosigned is one line of trees.
func TestManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	key := openKey(t, dir)
	line, _ := run(t, dir, "one.example", key.Verifier())
	var publishing sync.WaitGroup
	cosigned := make(chan []byte, 8)
	for i := range 8 {
		m := &memory{}
		m.grow(t, 10, string(rune('a'+i)))
		p := publisher(t, m, key, filepath.Join(dir, fmt.Sprint(i)), line)
		publishing.Go(func() {
			if err := p.Publish(context.Background()); err == nil {
				signed, _ := p.Checkpoint()
				cosigned <- signed
			}
		})
	}
	publishing.Wait()
	close(cosigned)
	w, err := log.ParseWitnesses(line)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for signed := range cosigned {
		if o, err := note.Open(signed, note.VerifierList(w[0].Verifier)); err == nil && len(o.Sigs) > 0 {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d of 8 different logs of one name are cosigned", n)
	}
}

// TestFilesThatAreNotGood refuses keys, folders and policies.
func TestFilesThatAreNotGood(t *testing.T) {
	dir := t.TempDir()
	key := openKey(t, dir)
	if _, err := log.OpenKey(filepath.Join(dir, "other.key"), "a name with spaces"); err == nil {
		t.Error("an origin with spaces")
	}
	path := filepath.Join(dir, "log.key")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := log.OpenKey(path, ""); !errors.Is(err, log.ErrExposed) {
		t.Errorf("an exposed key: %v", err)
	}
	for name, text := range map[string]string{"empty": "", "public": key.Verifier(), "cut": "PRIVATE+KEY+a+00000000+AQ=="} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := log.OpenKey(file, "a"); err == nil {
			t.Errorf("a %s key is taken", name)
		}
	}
	for _, bad := range []string{"witness a\n", "witness a b http://x\n", "witness a " + key.Verifier() + " http://x\n"} {
		if _, err := log.ParseWitnesses(bad); err == nil {
			t.Errorf("taken: %s", bad)
		}
	}
	k, err := log.OpenWitnessKey(filepath.Join(dir, "w.key"), "one.example")
	if err != nil {
		t.Fatal(err)
	}
	s, err := witness.New(filepath.Join(dir, "w"), k, []string{key.Verifier()}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := witness.New(filepath.Join(dir, "w"), k, nil, quiet); err == nil {
		t.Error("two witnesses share a folder")
	}
	s.Close()
	if _, err := witness.New(filepath.Join(dir, "w"), k, []string{"nonsense"}, quiet); err == nil {
		t.Error("a log without a key")
	}
}

// FuzzCosign sends anything.
func FuzzCosign(f *testing.F) {
	dir := f.TempDir()
	key := openKey(f, dir)
	k, err := log.OpenWitnessKey(filepath.Join(dir, "w.key"), "one.example")
	if err != nil {
		f.Fatal(err)
	}
	s, err := witness.New(filepath.Join(dir, "w"), k, []string{key.Verifier()}, quiet)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	f.Add([]byte("old 0\n\nciglio.example/log\n1\nAAAA\n\n— x y\n"))
	f.Add([]byte("old 5\n" + tlog.Hash{}.String() + "\n\nciglio.example/log\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if line, err := s.Cosign(body); err == nil {
			t.Errorf("cosigned without a signature of the log: %q", line)
		}
	})
}
