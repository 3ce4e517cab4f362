// Package witness holds transparency logs to what they have said: a witness cosigns a
// checkpoint only if the log still contains all that it cosigned before. Whoever sees a
// record's proof with cosignatures of witnesses knows that everybody saw the same log.
//
// It speaks https://c2sp.org/tlog-witness over HTTP. What it keeps true: for one origin it
// never cosigns two trees of which one does not continue the other, not after a power cut
// either, because the newest tree of each log is on disk before its cosignature leaves.
package witness

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"ciglio/internal/durable"
	"ciglio/portal/log"
)

// A Server is a witness. It is an [http.Handler] and safe for concurrent use.
type Server struct {
	key  *torchwood.CosignatureSigner
	logs map[string]*witnessed // by origin
	lock *os.File
	log  *slog.Logger
	mux  *http.ServeMux
}

type witnessed struct {
	verifier note.Verifier
	file     string

	mu   sync.Mutex
	tree tlog.Tree // the newest that was cosigned
}

// New opens the folder in which a witness remembers, for logs whose keys are given as
// name+hash+key. The name of a key is its log's origin. Two servers cannot share a folder.
func New(dir string, key *torchwood.CosignatureSigner, logs []string, logger *slog.Logger) (*Server, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := durable.Lock(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	s := &Server{key: key, logs: map[string]*witnessed{}, lock: lock, log: logger, mux: http.NewServeMux()}
	for _, text := range logs {
		l, err := open(dir, text)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("log %s: %w", text, err), s.Close())
		}
		s.logs[l.verifier.Name()] = l
	}
	s.mux.HandleFunc("POST /add-checkpoint", s.add)
	return s, nil
}

// Close lets another server have the folder.
func (s *Server) Close() error { return s.lock.Close() }

func open(dir, key string) (*witnessed, error) {
	v, err := note.NewVerifier(key)
	if err != nil {
		return nil, err
	}
	name := sha256.Sum256([]byte(v.Name()))
	l := &witnessed{verifier: v, file: filepath.Join(dir, hex.EncodeToString(name[:16])+".checkpoint")}
	text, err := durable.ReadAtMost(l.file, maxBody)
	if errors.Is(err, os.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, err
	}
	c, _, err := torchwood.VerifyCheckpoint(text, log.Signed(v))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.file, err)
	}
	l.tree = c.Tree
	return l, nil
}

const (
	maxBody  = 64 << 10 // of a request, in bytes
	maxProof = 63       // hashes in a proof
)

// ServeHTTP answers add-checkpoint.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

func (s *Server) add(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "the request is too long or broke off", http.StatusBadRequest)
		return
	}
	line, err := s.Cosign(body)
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		if refused.status == http.StatusConflict {
			w.Header().Set("Content-Type", "text/x.tlog.size")
			w.WriteHeader(refused.status)
			fmt.Fprintf(w, "%d\n", refused.known)
			return
		}
		http.Error(w, refused.Error(), refused.status)
	case err != nil:
		s.log.Error("nothing is cosigned", "error", err)
		http.Error(w, "nothing can be kept at the moment", http.StatusInternalServerError)
	default:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write(line)
	}
}

// A refusal is why a request is not cosigned, with the status of the protocol.
type refusal struct {
	status int
	why    string
	known  int64 // with 409: the size that was cosigned last
}

func (r *refusal) Error() string { return r.why }

func refuse(status int, format string, a ...any) error {
	return &refusal{status: status, why: fmt.Sprintf(format, a...)}
}

// A request is what a log asks.
type request struct {
	old    int64
	proof  tlog.TreeProof
	signed []byte
}

// parse reads the body of add-checkpoint.
func parse(body []byte) (q request, err error) {
	head, signed, ok := bytes.Cut(body, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	size, old := strings.CutPrefix(lines[0], "old ")
	if !ok || !old || len(lines) > 1+maxProof {
		return q, refuse(http.StatusBadRequest, "want old SIZE, at most %d hashes, an empty line and a checkpoint", maxProof)
	}
	if q.old, err = strconv.ParseInt(size, 10, 64); err != nil || q.old < 0 || strconv.FormatInt(q.old, 10) != size {
		return q, refuse(http.StatusBadRequest, "%.50q is no size", size)
	}
	for _, line := range lines[1:] {
		h, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(h) != tlog.HashSize || base64.StdEncoding.EncodeToString(h) != line {
			return q, refuse(http.StatusBadRequest, "%.50q is no hash", line)
		}
		q.proof = append(q.proof, tlog.Hash(h))
	}
	q.signed = signed
	return q, nil
}

// Cosign answers the body of an add-checkpoint request with the line of a cosignature.
func (s *Server) Cosign(body []byte) ([]byte, error) {
	q, err := parse(body)
	if err != nil {
		return nil, err
	}
	origin, _, _ := strings.Cut(string(q.signed), "\n")
	l, ok := s.logs[origin]
	if !ok {
		return nil, refuse(http.StatusNotFound, "no log %.100q is witnessed here", origin)
	}
	c, n, err := torchwood.VerifyCheckpoint(q.signed, log.Signed(l.verifier))
	if err != nil {
		return nil, refuse(http.StatusForbidden, "no checkpoint that the log's key has signed: %v", err)
	}
	if c.Origin != origin || n.Text != c.String() {
		return nil, refuse(http.StatusBadRequest, "the checkpoint is not in its one spelling")
	}
	if q.old > c.N {
		return nil, refuse(http.StatusBadRequest, "old %d is more than the checkpoint's %d", q.old, c.N)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.continues(q, c.Tree); err != nil {
		return nil, err
	}
	if c.N > l.tree.N || l.tree.Hash == (tlog.Hash{}) {
		// On disk first: what has left cannot be taken back.
		own, err := note.Sign(&note.Note{Text: n.Text, Sigs: n.Sigs})
		if err != nil {
			return nil, err
		}
		if err := durable.WriteFile(l.file, own, 0o600); err != nil {
			return nil, err
		}
		l.tree = c.Tree
	}
	cosigned, err := note.Sign(&note.Note{Text: n.Text}, s.key)
	if err != nil {
		return nil, err
	}
	return cosigned[len(n.Text)+1:], nil
}

// continues checks that a tree holds the one that was cosigned last.
func (l *witnessed) continues(q request, t tlog.Tree) error {
	conflict := &refusal{status: http.StatusConflict, why: "another size was cosigned last", known: l.tree.N}
	switch {
	case t.N == 0 && t.Hash != tlog.Hash(sha256.Sum256(nil)):
		return refuse(http.StatusUnprocessableEntity, "not the root of an empty tree")
	case q.old != l.tree.N:
		return conflict
	case q.old == t.N && l.tree.Hash != (tlog.Hash{}) && l.tree.Hash != t.Hash:
		return conflict
	case q.old == 0 || q.old == t.N:
		if len(q.proof) > 0 {
			return refuse(http.StatusUnprocessableEntity, "nothing needs a proof")
		}
		return nil
	}
	if err := tlog.CheckTree(q.proof, t.N, t.Hash, l.tree.N, l.tree.Hash); err != nil {
		return refuse(http.StatusUnprocessableEntity, "the tree of %d does not hold that of %d", t.N, l.tree.N)
	}
	return nil
}
