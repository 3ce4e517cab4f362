package broker

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"ciglio/portal/tally"
	"ciglio/uplink/wire"
)

// hook decides who may do what, and holds devices back while the centre is
// behind.
type hook struct {
	mqtt.HookBase
	shard   string
	readers Readers // none without a listener
	log     *slog.Logger
	tally   *tally.Tally
	dropped atomic.Uint64
	ended   chan struct{}

	mu       sync.Mutex
	centre   *mqtt.Client          // nil while it is not there and subscribed
	queue    []*turn               // messages that wait for room, in order
	admitted map[*mqtt.Client]bool // devices with a message on its way to centre
}

// A turn is a device's message that waits for room. A device has one at a time.
type turn struct {
	cl    *mqtt.Client
	ready chan struct{} // closed when there is room
}

func newHook(shard string, log *slog.Logger) *hook {
	return &hook{shard: shard, log: log, tally: tally.New(log), ended: make(chan struct{}), admitted: make(map[*mqtt.Client]bool)}
}

// refuse counts a connection that is not let in. The device is empty when the
// register does not have it.
func (h *hook) refuse(device, reason string) {
	h.tally.Add(tally.Key{Level: slog.LevelWarn, Message: "client refused", Device: device, Reason: reason})
}

// end counts a session of a device that is ended, and that began as it should.
func (h *hook) end(device, reason string) {
	h.tally.Add(tally.Key{Level: slog.LevelWarn, Message: "client ended", Device: device, Reason: "it " + reason})
}

// ID names the hook.
func (h *hook) ID() string { return "ciglio" }

// Provides says which of its methods the server calls.
func (h *hook) Provides(b byte) bool {
	return slices.Contains([]byte{
		mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnSessionEstablished, mqtt.OnSubscribed, mqtt.OnDisconnect,
		mqtt.OnPublish, mqtt.OnPacketProcessed, mqtt.OnQosComplete, mqtt.OnPublishDropped, mqtt.OnWill, mqtt.OnWillSent,
	}, b)
}

func isCentre(cl *mqtt.Client) bool { return cl.Net.Listener == centreListener }

// OnConnectAuthenticate bounds how long a client may be silent. Whether a device is
// let in the gate has decided.
func (h *hook) OnConnectAuthenticate(cl *mqtt.Client, pk packets.Packet) bool {
	cl.State.Keepalive = min(cl.State.Keepalive, maxKeepAlive)
	if cl.State.Keepalive == 0 {
		cl.State.Keepalive = maxKeepAlive
	}
	return !isReader(cl) || h.admit(cl, pk)
}

// OnACLCheck is asked for a topic to publish to, a filter to subscribe to and a
// topic to deliver.
func (h *hook) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	if isCentre(cl) {
		return true
	}
	if isReader(cl) {
		if !write && mayRead(topic) {
			return true
		}
		h.tally.Add(tally.Key{Level: slog.LevelWarn, Message: "topic refused", Reason: "of a reader"}, "publish", write)
		return false
	}
	ok := write && h.mayPublish(cl.ID, topic) || !write && h.mayReceive(cl.ID, topic)
	if !ok {
		h.tally.Add(tally.Key{Level: slog.LevelWarn, Message: "topic refused", Device: cl.ID, Reason: "not its own"}, "publish", write)
	}
	return ok
}

func (h *hook) mayPublish(id, topic string) bool {
	shard, device, what, err := wire.ParseTopic(topic)
	return err == nil && shard == h.shard && device.String() == id && what.FromDevice()
}

func (h *hook) mayReceive(id, topic string) bool {
	shard, device, what, err := wire.ParseTopic(topic)
	return err == nil && shard == h.shard && device.String() == id && !what.FromDevice()
}

// retainable says whether a device's message of this topic may be kept for
// those who subscribe later.
func retainable(topic string) bool {
	_, _, what, err := wire.ParseTopic(topic)
	return err == nil && (what == wire.WhatState || what == wire.WhatProfile)
}

// OnSessionEstablished notes that a device is there. Its session before, if
// there was one, has ended.
func (h *hook) OnSessionEstablished(cl *mqtt.Client, _ packets.Packet) {
	switch {
	case isReader(cl):
		h.tally.Add(tally.Key{Level: slog.LevelInfo, Message: "reader connected"}, "remote", cl.Net.Remote)
	case !isCentre(cl):
		h.tally.Add(tally.Key{Level: slog.LevelInfo, Message: "device connected", Device: cl.ID}, "remote", cl.Net.Remote)
	}
}

// OnSubscribed notes that the centre is ready to receive.
func (h *hook) OnSubscribed(cl *mqtt.Client, _ packets.Packet, _ []byte) {
	if isCentre(cl) {
		h.mu.Lock()
		h.centre = cl
		h.grant()
		h.mu.Unlock()
	}
}

// OnDisconnect notes that a client has gone.
func (h *hook) OnDisconnect(cl *mqtt.Client, err error, _ bool) {
	h.mu.Lock()
	if h.centre == cl {
		h.centre = nil
	}
	h.mu.Unlock()
	if !isCentre(cl) && !isReader(cl) {
		why := "said goodbye"
		if err != nil {
			why = err.Error()
		}
		h.tally.Add(tally.Key{Level: slog.LevelInfo, Message: "device disconnected", Device: cl.ID}, "why", why)
	}
}

// OnPublish is called before a message is acknowledged. It waits for room.
func (h *hook) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if isCentre(cl) {
		return pk, nil
	}
	if isReader(cl) {
		return pk, packets.ErrRejectPacket // no topic is its own
	}
	if pk.FixedHeader.Qos == 0 {
		// Nobody can hold back who does not wait for acknowledgements.
		h.tally.Add(tally.Key{Level: slog.LevelWarn, Message: "client ended", Device: cl.ID, Reason: "publishes with QoS 0"})
		cl.Net.Conn.Close() // and so the next read fails
		return pk, packets.ErrRejectPacket
	}
	if pk.FixedHeader.Retain && (!retainable(pk.TopicName) || len(pk.Payload) > wire.MaxJSON) {
		pk.FixedHeader.Retain = false
	}
	if !h.wait(cl, cl.Net.Conn.(*session).gone) {
		return pk, packets.ErrRejectPacket // neither acknowledged nor delivered
	}
	return pk, nil
}

// OnWill is called before the last will of a lost connection is published. It
// waits for room, unless the device is back.
func (h *hook) OnWill(cl *mqtt.Client, will mqtt.Will) (mqtt.Will, error) {
	if isReader(cl) {
		return mqtt.Will{}, nil // it has none
	}
	if !isCentre(cl) && !h.wait(cl, cl.Net.Conn.(*session).superseded) {
		return mqtt.Will{}, nil // a topic that nobody has subscribed to
	}
	return will, nil
}

// OnWillSent is called when it has been published.
func (h *hook) OnWillSent(cl *mqtt.Client, _ packets.Packet) { h.passed(cl) }

// wait returns true when there is room for one message of a device, and false
// when the device or the broker has gone before.
func (h *hook) wait(cl *mqtt.Client, gone <-chan struct{}) bool {
	t := &turn{cl: cl, ready: make(chan struct{})}
	h.mu.Lock()
	h.queue = append(h.queue, t)
	h.grant()
	h.mu.Unlock()
	over := false
	select {
	case <-gone:
		over = true
	case <-h.ended:
		over = true
	case <-t.ready:
		select {
		case <-gone:
			over = true
		default:
		}
	}
	if over {
		h.mu.Lock()
		h.queue = slices.DeleteFunc(h.queue, func(other *turn) bool { return other == t })
		h.mu.Unlock()
		h.passed(cl) // which it may have been given
	}
	return !over
}

// grant lets messages on for which there is room. The caller holds mu.
func (h *hook) grant() {
	for len(h.queue) > 0 && h.hasRoom() {
		t := h.queue[0]
		h.queue = slices.Delete(h.queue, 0, 1)
		h.admitted[t.cl] = true
		close(t.ready)
	}
}

func (h *hook) hasRoom() bool {
	return h.centre != nil && !h.centre.Closed() && h.centre.State.Inflight.Len()+len(h.admitted) < MaxBehind
}

// OnPacketProcessed is called when a packet has been passed on.
func (h *hook) OnPacketProcessed(cl *mqtt.Client, _ packets.Packet, _ error) { h.passed(cl) }

// passed notes that a device's message is in the hands of the centre's client.
func (h *hook) passed(cl *mqtt.Client) {
	h.mu.Lock()
	if h.admitted[cl] {
		delete(h.admitted, cl)
		h.grant()
	}
	h.mu.Unlock()
}

// OnQosComplete is called when a client has acknowledged a message, or the
// server one of a client.
func (h *hook) OnQosComplete(cl *mqtt.Client, _ packets.Packet) {
	if isCentre(cl) {
		h.mu.Lock()
		h.grant()
		h.mu.Unlock()
	}
}

// OnPublishDropped is called when a client is so far behind that a message to it
// is dropped. Devices ask again for what they miss.
func (h *hook) OnPublishDropped(cl *mqtt.Client, _ packets.Packet) {
	if isReader(cl) {
		h.tally.Add(tally.Key{Level: slog.LevelWarn, Message: "message dropped for want of room", Reason: "a reader is slow"})
		return
	}
	h.dropped.Add(1)
	h.tally.Add(tally.Key{Level: slog.LevelError, Message: "message dropped for want of room", Device: cl.ID})
}

func (h *hook) close() { close(h.ended) }
