package broker

import (
	"log/slog"
	"slices"
	"sync"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"ciglio/capture/evidence"
	"ciglio/uplink/wire"
)

// hook decides who may do what, and holds devices back while the centre is
// behind.
type hook struct {
	mqtt.HookBase
	shard string
	log   *slog.Logger

	mu       sync.Mutex
	moved    sync.Cond
	centre   *mqtt.Client          // nil while it is not there and subscribed
	admitted map[*mqtt.Client]bool // devices with a message on its way to centre
	closed   bool
	dropped  uint64
}

func newHook(shard string, log *slog.Logger) *hook {
	h := &hook{shard: shard, log: log, admitted: make(map[*mqtt.Client]bool)}
	h.moved.L = &h.mu
	return h
}

// ID names the hook.
func (h *hook) ID() string { return "ciglio" }

// Provides says which of its methods the server calls.
func (h *hook) Provides(b byte) bool {
	return slices.Contains([]byte{
		mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnSessionEstablished, mqtt.OnSubscribed, mqtt.OnDisconnect,
		mqtt.OnPublish, mqtt.OnPacketProcessed, mqtt.OnQosComplete, mqtt.OnPublishDropped,
	}, b)
}

func isCentre(cl *mqtt.Client) bool { return cl.Net.Listener == centreListener }

// OnConnectAuthenticate lets devices in that speak as they should.
func (h *hook) OnConnectAuthenticate(cl *mqtt.Client, pk packets.Packet) bool {
	cl.State.Keepalive = min(cl.State.Keepalive, maxKeepAlive)
	if cl.State.Keepalive == 0 {
		cl.State.Keepalive = maxKeepAlive
	}
	if isCentre(cl) {
		return true
	}
	_, err := evidence.ParseDeviceID(cl.ID)
	switch {
	case err != nil:
		h.log.Warn("client refused", "reason", "its id is no device id")
	case pk.ProtocolVersion != 4 || !pk.Connect.Clean:
		h.log.Warn("client refused", "device", cl.ID, "reason", "not MQTT 3.1.1 with a clean session")
	case pk.Connect.WillFlag && (!h.mayPublish(cl.ID, pk.Connect.WillTopic) ||
		pk.Connect.WillRetain && !retainable(pk.Connect.WillTopic)):
		h.log.Warn("client refused", "device", cl.ID, "reason", "its last will is for another topic than its own")
	default:
		return true
	}
	return false
}

// OnACLCheck is asked for a topic to publish to, a filter to subscribe to and a
// topic to deliver.
func (h *hook) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	if isCentre(cl) {
		return true
	}
	ok := write && h.mayPublish(cl.ID, topic) || !write && h.mayReceive(cl.ID, topic)
	if !ok {
		h.log.Warn("topic refused", "device", cl.ID, "publish", write)
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
	if !isCentre(cl) {
		h.mu.Lock()
		h.moved.Broadcast()
		h.mu.Unlock()
		h.log.Info("device connected", "device", cl.ID, "remote", cl.Net.Remote)
	}
}

// OnSubscribed notes that the centre is ready to receive.
func (h *hook) OnSubscribed(cl *mqtt.Client, _ packets.Packet, _ []byte) {
	if isCentre(cl) {
		h.mu.Lock()
		h.centre = cl
		h.moved.Broadcast()
		h.mu.Unlock()
	}
}

// OnDisconnect notes that a client has gone.
func (h *hook) OnDisconnect(cl *mqtt.Client, err error, _ bool) {
	h.mu.Lock()
	if h.centre == cl {
		h.centre = nil
	}
	h.moved.Broadcast()
	h.mu.Unlock()
	if !isCentre(cl) {
		why := "said goodbye"
		if err != nil {
			why = err.Error()
		}
		h.log.Info("device disconnected", "device", cl.ID, "why", why)
	}
}

// OnPublish is called before a message is acknowledged. It waits for room.
func (h *hook) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if isCentre(cl) {
		return pk, nil
	}
	if pk.FixedHeader.Retain && !retainable(pk.TopicName) {
		pk.FixedHeader.Retain = false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for !h.closed && !cl.Closed() && !h.hasRoom() {
		h.moved.Wait()
	}
	if h.closed || cl.Closed() {
		h.moved.Signal()                   // which may have been for another
		return pk, packets.ErrRejectPacket // neither acknowledged nor delivered
	}
	h.admitted[cl] = true
	if h.hasRoom() {
		h.moved.Signal() // for the next one too
	}
	return pk, nil
}

func (h *hook) hasRoom() bool {
	return h.centre != nil && !h.centre.Closed() && h.centre.State.Inflight.Len()+len(h.admitted) < MaxBehind
}

// OnPacketProcessed is called when a packet has been passed on.
func (h *hook) OnPacketProcessed(cl *mqtt.Client, _ packets.Packet, _ error) {
	h.mu.Lock()
	if h.admitted[cl] {
		delete(h.admitted, cl)
		h.moved.Signal()
	}
	h.mu.Unlock()
}

// OnQosComplete is called when a client has acknowledged a message, or the
// server one of a client.
func (h *hook) OnQosComplete(cl *mqtt.Client, _ packets.Packet) {
	if isCentre(cl) {
		h.mu.Lock()
		h.moved.Signal()
		h.mu.Unlock()
	}
}

// OnPublishDropped is called when a client is so far behind that a message to it
// is dropped. Devices ask again for what they miss.
func (h *hook) OnPublishDropped(cl *mqtt.Client, _ packets.Packet) {
	h.mu.Lock()
	h.dropped++
	first := h.dropped == 1
	h.mu.Unlock()
	if first || isCentre(cl) {
		h.log.Error("message dropped for want of room", "client", cl.ID)
	}
}

func (h *hook) close() {
	h.mu.Lock()
	h.closed = true
	h.moved.Broadcast()
	h.mu.Unlock()
}
