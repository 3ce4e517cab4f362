package uplink

import "ciglio/uplink/wire"

const (
	strikesInCompany = 3  // drops after which a message is sent alone
	strikesAlone     = 3  // drops after which it is set aside
	maxSuspects      = 64 // as many messages are watched
)

// A messageID names a message across sessions: a piece of a record, or one of
// state, health and profile.
type messageID struct {
	what  wire.What
	key   Key
	piece piece
}

// A suspect was unacknowledged when a session ended.
type suspect struct {
	company int  // times running, sent among others
	alone   int  // times running, sent alone
	cleared bool // another record went through since it is sent alone
}

// suspects are the messages that may have ended a session, and those of state,
// health and profile that are not sent any more because they did.
type suspects struct {
	watched map[messageID]*suspect
	muted   map[wire.What]bool
}

func newSuspects() suspects {
	return suspects{watched: map[messageID]*suspect{}, muted: map[wire.What]bool{}}
}

// isolated reports whether a message must be sent alone.
func (s *suspects) isolated(id messageID) bool {
	w := s.watched[id]
	return w != nil && w.company >= strikesInCompany
}

// passed notes that a message was acknowledged. When it was one of a record, the
// broker takes records, and those that it does not take are to blame.
func (s *suspects) passed(id messageID) {
	delete(s.watched, id)
	if id.what != wire.WhatRecord && id.what != wire.WhatBlob {
		return
	}
	for _, w := range s.watched {
		if w.company >= strikesInCompany {
			w.cleared = true
		}
	}
}

// struck notes that a session ended before a message was acknowledged, and
// reports whether the message is to be set aside.
func (s *suspects) struck(id messageID, alone bool) bool {
	w := s.watched[id]
	switch {
	case w == nil:
		if len(s.watched) < maxSuspects {
			s.watched[id] = &suspect{company: 1}
		}
		return false
	case w.company < strikesInCompany:
		w.company++
		return false
	case alone:
		w.alone++
	}
	return w.alone >= strikesAlone && w.cleared
}

// forget drops what is known about the messages of a record.
func (s *suspects) forget(key Key) {
	for id := range s.watched {
		if id.key == key && (id.what == wire.WhatRecord || id.what == wire.WhatBlob) {
			delete(s.watched, id)
		}
	}
}
