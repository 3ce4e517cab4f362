package wire

import (
	"errors"
	"fmt"
	"strings"

	"ciglio/capture/evidence"
)

// Root is what every topic begins with.
const Root = "ciglio/v1"

// MaxShard is the largest length of a shard's name.
const MaxShard = 32

// ErrTopic is what the errors of [ParseTopic] wrap.
var ErrTopic = errors.New("not a topic of ciglio")

// What is the last level of a topic: what the message is.
type What string

// The seven things a topic can be about.
const (
	WhatRecord  What = "record"
	WhatBlob    What = "blob"
	WhatState   What = "state"
	WhatHealth  What = "health"
	WhatProfile What = "profile"
	WhatReceipt What = "receipt"
	WhatCommand What = "command"
)

// Whats lists the values of [What], those a device sends first.
func Whats() []What {
	return []What{WhatRecord, WhatBlob, WhatState, WhatHealth, WhatProfile, WhatReceipt, WhatCommand}
}

// FromDevice reports whether the device publishes it; what it does not publish
// it subscribes to.
func (w What) FromDevice() bool {
	switch w {
	case WhatRecord, WhatBlob, WhatState, WhatHealth, WhatProfile:
		return true
	}
	return false
}

// Topic names the topic of one device for one thing. The shard must be good by
// [CheckShard].
func Topic(shard string, device evidence.DeviceID, what What) string {
	return Root + "/" + shard + "/" + device.String() + "/" + string(what)
}

// Filter is the subscription to one thing of every device of a shard.
func Filter(shard string, what What) string {
	return Root + "/" + shard + "/+/" + string(what)
}

// ParseTopic reads what [Topic] writes and nothing else.
func ParseTopic(topic string) (shard string, device evidence.DeviceID, what What, err error) {
	rest, ok := strings.CutPrefix(topic, Root+"/")
	if !ok || len(topic) > 128 {
		return "", device, "", fmt.Errorf("%w: want %s/…, have %.64q", ErrTopic, Root, topic)
	}
	parts := strings.Split(rest, "/")
	if len(parts) != 3 {
		return "", device, "", fmt.Errorf("%w: %q has %d levels after %s, want 3", ErrTopic, topic, len(parts), Root)
	}
	if err := CheckShard(parts[0]); err != nil {
		return "", device, "", fmt.Errorf("%w: %w", ErrTopic, err)
	}
	if device, err = evidence.ParseDeviceID(parts[1]); err != nil {
		return "", device, "", fmt.Errorf("%w: %w", ErrTopic, err)
	}
	for _, w := range Whats() {
		if parts[2] == string(w) {
			return parts[0], device, w, nil
		}
	}
	return "", device, "", fmt.Errorf("%w: last level %q", ErrTopic, parts[2])
}

// CheckShard says whether a name can be a shard's: 1 to 32 of the characters
// a-z, 0-9 and hyphen, the first and last of them no hyphen. So it cannot be a
// wildcard, a second level or two spellings of one name.
func CheckShard(name string) error {
	if len(name) < 1 || len(name) > MaxShard {
		return fmt.Errorf("shard %.40q: want 1 to %d characters", name, MaxShard)
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !letter && (c != '-' || i == 0 || i == len(name)-1) {
			return fmt.Errorf("shard %q: want a-z, 0-9 and hyphens between them", name)
		}
	}
	return nil
}
