package console

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"

	"ciglio/uplink"
)

// A Role says what somebody may do at the console.
type Role string

// The roles. What each may is in the table of routes.
const (
	Nobody     Role = ""           // not logged in
	Technician Role = "technician" // sets the device up and sees why it does not measure; never a violation's pictures
	Officer    Role = "officer"    // of the police: sees the violations on the device, and each look is recorded
)

// A Caller is who makes a request.
type Caller struct {
	Name string // as the journal names them; no name of a person
	Role Role

	session [32]byte // the hash of its name; zero at the socket
}

// How codes and sessions live.
const (
	codeDigits   = 8
	codeLives    = 10 * time.Minute
	codeTries    = 5 // wrong ones, after which a code is worth nothing
	firstDelay   = time.Second
	longestDelay = 5 * time.Minute
	idle         = 30 * time.Minute // after which a session ends
	longest      = 8 * time.Hour    // a day's work
	mostSessions = 8                // one more ends the oldest
)

var (
	errWrongCode = errors.New("wrong code")
	errTooSoon   = errors.New("too soon after a wrong code")
)

// Access knows the code that is valid now and the sessions it has opened. All of
// it is in memory: it ends with the process, and goes on from one [Console] to the next
// of the same device. Neither codes nor names of sessions are kept,
// only their hashes. It is safe for concurrent use.
type Access struct {
	now func() time.Time

	mu       sync.Mutex
	code     *code
	failures int       // wrong codes since the last right one
	next     time.Time // before which no code is looked at
	issued   int
	sessions map[[32]byte]*session
}

type code struct {
	hash  [32]byte
	role  Role
	until time.Time
	tries int
}

type session struct {
	caller      Caller
	began, used time.Time
	looked      []uplink.Key // violations whose page it has opened last: their frames are shown
}

// NewAccess returns one without codes and sessions.
func NewAccess(now func() time.Time) *Access {
	return &Access{now: now, sessions: map[[32]byte]*session{}}
}

// issue makes a code that opens one session of the role. The one before is worth
// nothing then. Whoever can ask for one stands at the device: no delay is left of
// wrong ones before.
func (a *Access) issue(role Role) (text string, until time.Time, err error) {
	n, err := rand.Int(rand.Reader, big.NewInt(1e8))
	if err != nil {
		return "", time.Time{}, err
	}
	text = fmt.Sprintf("%0*d", codeDigits, n)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failures, a.next = 0, time.Time{}
	a.code = &code{hash: sha256.Sum256([]byte(text)), role: role, until: a.now().Add(codeLives)}
	return text, a.code.until, nil
}

// enter opens a session for one who has the code. Each wrong one makes everybody
// wait twice as long before the next is looked at.
func (a *Access) enter(text string) (name string, c Caller, err error) {
	digits := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, text)
	hash := sha256.Sum256([]byte(digits)) // both are hashes of a secret: how long comparing takes tells nothing
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if now.Before(a.next) {
		return "", Caller{}, errTooSoon
	}
	if k := a.code; k == nil || now.After(k.until) || k.hash != hash {
		a.failures++
		a.next = now.Add(min(firstDelay<<min(a.failures-1, 20), longestDelay))
		if k != nil {
			if k.tries++; k.tries >= codeTries {
				a.code = nil
			}
		}
		return "", Caller{}, errWrongCode
	}
	a.issued++
	c = Caller{Name: fmt.Sprintf("%s %d", a.code.role, a.issued), Role: a.code.role}
	a.code, a.failures, a.next = nil, 0, time.Time{}
	name, c = a.open(c, now)
	return name, c, nil
}

// admit opens a session for one whom the device knows otherwise than by a code.
func (a *Access) admit(c Caller) (name string, _ Caller) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.open(c, a.now())
}

// open opens a session. The caller holds mu.
func (a *Access) open(c Caller, now time.Time) (name string, _ Caller) {
	name = rand.Text()
	a.expire(now)
	if len(a.sessions) >= mostSessions {
		var oldest [32]byte
		for h, s := range a.sessions {
			if o := a.sessions[oldest]; o == nil || s.used.Before(o.used) {
				oldest = h
			}
		}
		delete(a.sessions, oldest)
	}
	c.session = sha256.Sum256([]byte(name))
	a.sessions[c.session] = &session{caller: c, began: now, used: now}
	return name, c
}

// mostLooked is of how many violations at once a session is shown the frames.
const mostLooked = 16

// look notes that a session has opened the page of a violation.
func (a *Access) look(c Caller, k uplink.Key) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.sessions[c.session]; s != nil && !slices.Contains(s.looked, k) {
		s.looked = append(s.looked, k)
		s.looked = s.looked[max(0, len(s.looked)-mostLooked):]
	}
}

// looked reports whether a session has opened the page of a violation.
func (a *Access) looked(c Caller, k uplink.Key) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.sessions[c.session]
	return s != nil && slices.Contains(s.looked, k)
}

// caller returns whose session it is; nobody's when it has ended. A request that the
// page makes by itself is no use: a phone that lies on the dashboard is logged out.
func (a *Access) caller(name string, use bool) Caller {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	a.expire(now)
	s := a.sessions[sha256.Sum256([]byte(name))]
	if s == nil {
		return Caller{}
	}
	if use {
		s.used = now
	}
	return s.caller
}

func (a *Access) leave(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.sessions, sha256.Sum256([]byte(name)))
}

// expire drops what has ended. The caller holds mu.
func (a *Access) expire(now time.Time) {
	for h, s := range a.sessions {
		if now.Sub(s.used) > idle || now.Sub(s.began) > longest {
			delete(a.sessions, h)
		}
	}
}
