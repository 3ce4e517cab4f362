// Package mqtt opens sessions with an MQTT 3.1.1 broker through
// paho.mqtt.golang. It is the [uplink.Dialer] of the field, and the centre uses
// it to reach a broker of its own.
//
// paho keeps nothing here. Every Dial is a new client with a clean session, no
// store and no reconnecting, because only then does a message without
// acknowledgement end with an error: a paho client that reconnects reports
// success for messages nobody has acknowledged.
//
// What paho leaves open is closed here. A write may take 30 s, acknowledgements
// and pings included, and Linux gives up on a peer that is silent about sent
// data for as long (TCP_USER_TIMEOUT); a packet from the broker is bounded and
// checked before paho sees it; Publish never waits; Handle may publish, and may
// be slow without holding up acknowledgements or pings.
//
// A Dialer and its sessions are safe for concurrent use. Memory is bounded: a
// session holds at most MaxPending messages that are not acknowledged and 32
// messages that wait for Handle; after that the broker has to wait.
package mqtt

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"ciglio/internal/mtls"
	"ciglio/uplink"
)

// Options tell a Dialer where the broker is. A zero field other than Broker and
// Open means the default.
type Options struct {
	// Broker is "tcp://host:port", or "tls://host:port" together with TLS. It
	// may be empty when Open is given.
	Broker string
	// TLS is asked at each Dial with scheme tls, so that certificates may change
	// while this end runs.
	TLS func() (*tls.Config, error)
	// Open replaces the network: it returns a connection to the broker.
	Open func(context.Context) (net.Conn, error)
	// Username and Password are sent to the broker when the name is not empty.
	Username, Password string

	KeepAlive      time.Duration // whole seconds; default 30 s
	ConnectTimeout time.Duration // of Dial in all; default 30 s
	WriteTimeout   time.Duration // of every packet; default 30 s
	MaxMessage     int           // bytes of a message received; default 64 KiB
	MaxPending     int           // messages published and not acknowledged; default 1,024
}

// ErrPending is the error of a message that was one more than MaxPending.
var ErrPending = errors.New("too many messages wait for the broker")

// pingTimeout is how long the broker may take to answer a ping.
const pingTimeout = 10 * time.Second

// A Dialer opens sessions.
type Dialer struct {
	options Options
	scheme  string
	address string
}

var _ uplink.Dialer = (*Dialer)(nil)

// New returns a Dialer. It opens nothing.
func New(o Options) (*Dialer, error) {
	o.KeepAlive = cmp.Or(o.KeepAlive, 30*time.Second)
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, 30*time.Second)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, 30*time.Second)
	o.MaxMessage = cmp.Or(o.MaxMessage, 64<<10)
	o.MaxPending = cmp.Or(o.MaxPending, 1024)
	if o.KeepAlive < time.Second || o.KeepAlive > 65535*time.Second || o.KeepAlive%time.Second != 0 {
		return nil, fmt.Errorf("keep-alive %v: want whole seconds, 1 to 65535", o.KeepAlive)
	}
	if o.MaxMessage < 0 || o.MaxPending < 0 || o.MaxPending > 60000 {
		return nil, fmt.Errorf("limits: message %d, pending %d: want positive numbers, at most 60000 pending", o.MaxMessage, o.MaxPending)
	}
	d := &Dialer{options: o}
	if o.Open != nil && o.Broker == "" {
		d.address = "given by Open"
		return d, nil
	}
	u, err := url.Parse(o.Broker)
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	switch {
	case u.Scheme != "tcp" && u.Scheme != "tls":
		return nil, fmt.Errorf("broker %q: want tcp://host:port or tls://host:port", o.Broker)
	case u.Port() == "" || u.Hostname() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("broker %q: want %s://host:port and nothing else", u.Redacted(), u.Scheme)
	case (u.Scheme == "tls") != (o.TLS != nil):
		return nil, fmt.Errorf("broker %q: scheme tls and a TLS configuration go together", o.Broker)
	}
	d.scheme, d.address = u.Scheme, u.Host
	return d, nil
}

// open connects to the broker's port. TCP_NODELAY is set: Go's default.
func (d *Dialer) open(ctx context.Context) (net.Conn, error) {
	if d.options.Open != nil {
		return d.options.Open(ctx)
	}
	var config *tls.Config
	if d.scheme == "tls" {
		given, err := d.options.TLS()
		if err != nil {
			return nil, err
		}
		config = given.Clone()
		if config.ServerName == "" {
			config.ServerName, _, _ = net.SplitHostPort(d.address)
		}
	}
	dialer := &net.Dialer{Control: userTimeout(d.options.WriteTimeout)}
	c, err := dialer.DialContext(ctx, "tcp", d.address)
	if err != nil || config == nil {
		return c, err
	}
	return mtls.Connect(ctx, c, config)
}

// Dial opens a session. See [uplink.Dialer].
func (d *Dialer) Dial(ctx context.Context, so uplink.SessionOptions) (uplink.Session, error) {
	ctx, cancel := context.WithTimeout(ctx, d.options.ConnectTimeout)
	defer cancel()
	raw, err := d.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("broker %s: %w", d.address, err)
	}
	s := newSession(newConn(raw, d.options, len(so.Subscribe)), so.Handle, d.options)
	s.client = paho.NewClient(d.clientOptions(so, s))
	// Closing the connection ends every wait below.
	stop := context.AfterFunc(ctx, func() { s.conn.Close() })
	err = s.connect(so.Subscribe)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		s.discard()
		// A client of TLS 1.3 learns by its first read that it is refused.
		if r := mtls.Explain(s.conn.failure()); r != nil {
			err = r
		}
		return nil, fmt.Errorf("broker %s: %w", d.address, err)
	}
	s.start()
	return s, nil
}

// clientOptions turns everything off that paho would do by itself.
func (d *Dialer) clientOptions(so uplink.SessionOptions, s *session) *paho.ClientOptions {
	o := paho.NewClientOptions().
		AddBroker("tcp://broker").
		SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) { return s.conn, nil }).
		SetClientID(so.ClientID).
		SetProtocolVersion(4).
		SetCleanSession(true).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetResumeSubs(false).
		SetStore(nothing{}).
		SetOrderMatters(true).
		SetAutoAckDisabled(true).
		SetKeepAlive(d.options.KeepAlive).
		SetPingTimeout(pingTimeout).
		SetConnectTimeout(d.options.ConnectTimeout + time.Second). // ours comes first
		// How long paho's Publish may wait for its own goroutines, see
		// [session.sendOne]. The network's timeout is conn's.
		SetWriteTimeout(handOver).
		SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { s.received(m) }).
		SetConnectionLostHandler(func(_ paho.Client, err error) { s.lost <- err })
	if d.options.Username != "" {
		o.SetUsername(d.options.Username).SetPassword(d.options.Password)
	}
	if w := so.Will; w != nil {
		o.SetBinaryWill(w.Topic, w.Payload, 1, w.Retained)
	}
	return o
}
