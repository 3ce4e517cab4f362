package broker

import (
	"crypto/subtle"
	"log/slog"
	"net"
	"strings"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"ciglio/portal/tally"
	"ciglio/uplink/wire"
)

// Readers are programs of others, which may receive every message and send none.
// They have an address of their own, so that they take no room from devices, and
// one that is slow misses messages and holds nobody up.
type Readers struct {
	Listener       net.Listener // where they connect; the broker closes it; nil for none
	Name, Password string       // of all of them; both are needed
}

const readerListener = "readers"

func isReader(cl *mqtt.Client) bool { return cl.Net.Listener == readerListener }

// knocks bounds how long each connection may take to say who it is.
type knocks struct{ net.Listener }

func (k knocks) Accept() (net.Conn, error) {
	for {
		c, err := k.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c.SetDeadline(time.Now().Add(connectTime)) == nil {
			return c, nil
		}
		c.Close() // it has gone already
	}
}

// admit says whether a reader is let in. Its name among clients is one that
// no device and no centre has, whatever it calls itself.
func (h *hook) admit(cl *mqtt.Client, pk packets.Packet) bool {
	same := func(given []byte, want string) bool { return subtle.ConstantTimeCompare(given, []byte(want)) == 1 }
	name, password := same(pk.Connect.Username, h.readers.Name), same(pk.Connect.Password, h.readers.Password)
	reason := ""
	switch {
	case !name || !password || h.readers.Password == "":
		reason = "not the name and password of readers"
	case pk.ProtocolVersion != 4 || !pk.Connect.Clean:
		reason = "not MQTT 3.1.1 with a clean session"
	case pk.Connect.WillFlag:
		reason = "a reader has no last will"
	}
	if reason != "" {
		h.tally.Add(tally.Key{Level: slog.LevelWarn, Message: "reader refused", Reason: reason})
		return false
	}
	cl.ID = readerListener + "/" + cl.ID
	return true
}

// mayRead says whether a reader may have a topic or filter.
func mayRead(topic string) bool { return strings.HasPrefix(topic, wire.Root+"/") }
