// Package portal is the centre: it receives the evidence of speed cameras,
// verifies and keeps it, answers with signed receipts and shows it in a browser.
//
// [Init] makes the directory in which all of it lives, [Enrol] adds a device,
// [New] opens the directory and its two addresses, and [Portal.Run] serves. The
// packages beneath each own one thing: store, log, intake, broker, register,
// keys, pages.
package portal

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
	"ciglio/internal/mtls"
	"ciglio/portal/blob"
	"ciglio/portal/broker"
	"ciglio/portal/brokerlog"
	"ciglio/portal/ca"
	"ciglio/portal/citizen"
	"ciglio/portal/database"
	"ciglio/portal/est"
	"ciglio/portal/intake"
	"ciglio/portal/keys"
	"ciglio/portal/log"
	"ciglio/portal/log/sequencer"
	"ciglio/portal/officer"
	"ciglio/portal/orders"
	"ciglio/portal/page"
	"ciglio/portal/record"
	"ciglio/portal/register"
	"ciglio/portal/web"
	"ciglio/uplink"
	"ciglio/uplink/mqtt"
)

// Defaults of [Options].
const (
	DefaultListen = "127.0.0.1:8080"
	DefaultMQTT   = "127.0.0.1:1883"
	DefaultShard  = "0"
)

// spoolFolder has what the intake has not put together yet.
const spoolFolder = "partial"

// ErrNotLoopback says that an address can be reached from other machines, and what
// is there asks nobody who they are.
var ErrNotLoopback = errors.New("can be reached from other machines, and asks nobody who they are")

// ErrNoNames says that a server of TLS was not told its names.
var ErrNoNames = errors.New("want the names by which devices reach this machine")

// errCentreKey says that receipts of this centre would be worth nothing.
var errCentreKey = errors.New("what it signs does not count")

// Options of a Portal.
type Options struct {
	Dir    string // made by [Init]
	Listen string // address of the pages; empty means DefaultListen
	// MQTT is the address of the embedded broker; empty means DefaultMQTT. After
	// "tls://" it is one where devices connect by TLS and show their certificates,
	// and may be any; otherwise nobody is asked, and it must be this machine's own.
	MQTT string
	// Broker is the URL of another broker, used instead of the embedded one. For
	// tls://host:port BrokerFiles say whom the centre believes and what it shows.
	Broker      string
	BrokerFiles mtls.Files
	// BrokerLog is a file to which that broker, Mosquitto, writes its log: what it
	// refuses is told from there. Empty: none is read.
	BrokerLog string
	// EST is the address where devices get their certificates; empty for none.
	EST string
	// Names are the host names and addresses by which devices reach this machine:
	// its certificate for MQTT and EST, which the centre issues itself, has them.
	Names []string
	// Pages says how the pages are served by TLS; zero: they are not.
	Pages PagesTLS
	// Roles of this process; empty means all. Several processes need PostgreSQL, an S3
	// store, and the centre's folder with its keys and register each.
	Roles []string
	// Shards are those that an intake takes, whenever no other process has them; empty
	// means DefaultShard. A shard is what stands in the topics of its devices.
	Shards []string
	// Takeover is how long after the death of a process another takes over at the latest;
	// 0 means 10 s.
	Takeover time.Duration
	// Database is where the records are: the URL of a PostgreSQL
	// ("postgres://…"); empty for SQLite in Dir.
	Database string
	// S3 is where pictures and traces are; nil for a folder in Dir.
	S3 *blob.S3Options
	// Citizens is the address of the pages that anybody may read; empty for none.
	Citizens string
	// CitizensTLS is for them what Pages is for the staff's.
	CitizensTLS PagesTLS
	// AllowRemote lets Listen and Readers be addresses that other machines reach.
	// The pages ask nobody who they are, encrypted or not.
	AllowRemote bool
	// Readers is the address of the embedded broker for programs of others, which
	// receive every message and send none; empty for none. They give this name
	// and password.
	Readers, ReaderName, ReaderPassword string
	// Metrics is the address of figures for Prometheus, of this machine alone unless
	// AllowRemote; empty for none.
	Metrics string
	// Witnesses is a policy file of those who cosign the log: docs/log.md. Empty: nobody.
	Witnesses string
	// Now is the time by which records are judged, and that receipts bear; nil means
	// time.Now. What the certificates of TLS are judged by is the machine's clock.
	Now func() time.Time
	Log *slog.Logger // nil: nothing is logged
}

// A Portal is an open centre. [New] opens it; [Portal.Close] releases it.
type Portal struct {
	log       *slog.Logger
	store     *record.Store
	register  *register.File
	intakes   *intakes             // nil: nothing is taken here
	sequencer *sequencer.Sequencer // nil: nothing is numbered here
	broker    *broker.Broker       // nil when there is another
	officers  *page.Host           // nil, as pages: there are none
	citizens  *page.Host           // nil, as public: theirs are nowhere
	pages     net.Listener
	public    net.Listener // of citizens
	mqtt      net.Listener
	readers   net.Listener // nil: nobody else reads
	metrics   net.Listener // nil: nobody asks for figures
	dir       string
	authority *ca.CA // nil: nothing is encrypted by certificates of the centre
	names     []string
	est       *est.Server // nil: nobody is enrolled here
	enrolment net.Listener
	brokerLog *brokerlog.Reader // nil: none is read
	logKey    *log.Key
	published *log.Publisher
	elsewhere string // address of another broker by TLS; empty: there is none
	terms     *terms
}

// New opens the directory and both addresses. Nothing is served before
// [Portal.Run], but the addresses are known.
func New(ctx context.Context, o Options) (p *Portal, err error) {
	if o.Listen == "" {
		o.Listen = DefaultListen
	}
	if o.MQTT == "" {
		o.MQTT = DefaultMQTT
	}
	if len(o.Roles) == 0 {
		o.Roles = roles
	}
	if len(o.Shards) == 0 {
		o.Shards = []string{DefaultShard}
	}
	if o.Takeover == 0 {
		o.Takeover = sequencer.DefaultSpan
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p = &Portal{log: o.Log, dir: o.Dir, terms: &terms{dir: o.Dir}}
	defer func() {
		if err != nil {
			p.Close()
			p = nil
		}
	}()
	if err = o.checkRoles(); err != nil {
		return p, err
	}
	if err = centreIn(o.Dir); err != nil {
		return p, err
	}
	centre, err := keys.Load(filepath.Join(o.Dir, centreKeyName))
	if err != nil {
		return p, err
	}
	if p.register, err = register.Open(o.Dir); err != nil {
		return p, err
	}
	switch _, _, err := p.register.Trust().CentreKey(centre.KeyID(), time.Now()); {
	case errors.Is(err, evidence.ErrNotValid): // the clock may be wrong, and pages can be read
		o.Log.Error("no receipt can be given: records stay on their devices", "key", centreKeyName, "error", err)
	case err != nil:
		return p, fmt.Errorf("%s: %w: %w", centreKeyName, errCentreKey, err)
	}
	p.terms.register, p.terms.key = p.register, centre.KeyID()
	if p.store, err = o.openStore(ctx); err != nil {
		return p, err
	}
	if open, err := record.OpenToOthers(o.Dir); err != nil {
		return p, err
	} else if len(open) > 0 {
		o.Log.Warn("others on this machine can read or enter", "paths", open, "hint", "chmod go-rwx")
	}
	if o.has(RoleOfficers) {
		if p.pages, err = listen(o.Listen, o.AllowRemote); err != nil {
			return p, fmt.Errorf("pages: %w", err)
		}
		if p.pages, p.terms.pages, err = o.Pages.wrap(p.pages, o.Log); err != nil {
			return p, fmt.Errorf("pages: %w", err)
		}
	}
	if o.Metrics != "" {
		if p.metrics, err = listen(o.Metrics, o.AllowRemote); err != nil {
			return p, fmt.Errorf("metrics: %w", err)
		}
	}
	mqttAddress, encrypted := strings.CutPrefix(o.MQTT, "tls://")
	encrypted = encrypted && o.Broker == "" && o.has(RoleIntake)
	var identity func() (*mtls.Authority, *tls.Certificate)
	if encrypted || o.EST != "" {
		if identity, err = p.openCA(o); err != nil {
			return p, err
		}
	}
	if o.EST != "" {
		if p.enrolment, err = listen(o.EST, true); err != nil {
			return p, fmt.Errorf("enrolment: %w", err)
		}
		p.est = est.New(est.Options{CA: p.authority, TLS: identity, IsEvidenceKey: p.isEvidenceKey, InForce: p.inForce, Waits: proposals{o.Dir}.waits, Propose: proposals{o.Dir}.put, Log: o.Log})
	}
	dials := &sessions{}
	dials.began.Store(time.Now().UnixMicro())
	if o.has(RoleIntake) {
		if dials.Dialer, err = p.openBroker(o, mqttAddress, identityOf(encrypted, identity)); err != nil {
			return p, err
		}
		p.openIntakes(o, centre, dials)
	}
	if err = p.openLog(o); err != nil {
		return p, err
	}
	if o.has(RoleLog) {
		p.sequencer = sequencer.New(sequencer.Options{
			Store: p.store, Register: p.register, Signer: centre, Span: o.Takeover, Held: p.published.Held, Leading: p.published.Run, Now: o.Now, Log: o.Log,
		})
	}
	if o.Citizens != "" {
		if err = p.openCitizens(o); err != nil {
			return p, fmt.Errorf("citizens: %w", err)
		}
	}
	if !o.has(RoleOfficers) {
		return p, nil
	}
	var dropped func() uint64
	if p.broker != nil {
		dropped = p.broker.Dropped
	}
	p.officers, err = officer.New(officer.Options{
		Evidence: web.Options{
			Published: p.published, LogKey: p.logKey.Verifier(), Store: p.store, Register: p.register,
			Orders: orders.Open(o.Dir), Stats: p.Stats, Session: dials.Began, Dropped: dropped, Warnings: p.terms.warnings,
		},
		Loopback: !o.AllowRemote, Log: o.Log,
	})
	return p, err
}

// openCitizens opens the host of what anybody may read.
func (p *Portal) openCitizens(o Options) (err error) {
	if p.public, err = net.Listen("tcp", o.Citizens); err != nil {
		return err
	}
	if p.public, p.terms.public, err = o.CitizensTLS.wrap(p.public, o.Log); err != nil {
		return err
	}
	p.citizens, err = citizen.New(citizen.Options{Register: p.register, Published: p.published, LogKey: p.logKey.Verifier(), Log: o.Log})
	return err
}

// openBroker opens the way to the broker: the embedded one, or another.
func (p *Portal) openBroker(o Options, address string, identity func() (*mtls.Authority, *tls.Certificate)) (uplink.Dialer, error) {
	options := mqtt.Options{Broker: o.Broker}
	if address, ok := strings.CutPrefix(o.Broker, "tls://"); ok {
		p.elsewhere = address
		options.TLS = func() (*tls.Config, error) {
			authority, own, err := o.BrokerFiles.Load(loadKey)
			if err != nil {
				return nil, err
			}
			return p.terms.dialling(authority.Client(own)), nil
		}
		if err := followBrokerCertificate(CAFolder(o.Dir)); err != nil {
			return nil, err
		}
	}
	if o.BrokerLog != "" {
		p.brokerLog = brokerlog.New(o.BrokerLog, o.Log)
	}
	if o.Broker != "" {
		return mqtt.New(options)
	}
	var err error
	if p.mqtt, err = listen(address, identity != nil); err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	readers := broker.Readers{Name: o.ReaderName, Password: o.ReaderPassword}
	if o.Readers != "" {
		if p.readers, err = listen(o.Readers, o.AllowRemote); err != nil {
			return nil, fmt.Errorf("readers: %w", err)
		}
		readers.Listener = p.readers
	}
	p.broker, err = broker.New(broker.Options{Listener: p.mqtt, Shard: o.Shards[0], Known: p.known, TLS: identity, Readers: readers, Log: o.Log})
	if err != nil {
		return nil, err
	}
	options.Open = p.broker.Dial
	return mqtt.New(options)
}

// openIntakes prepares the intake of each shard.
func (p *Portal) openIntakes(o Options, centre evidence.Signer, dials uplink.Dialer) {
	p.intakes = &intakes{
		shards: o.Shards, db: p.store.Database(), span: o.Takeover, alone: o.Database == "", log: o.Log, now: make(map[string]*intake.Intake),
		options: func(shard string) intake.Options {
			spool := filepath.Join(o.Dir, spoolFolder)
			if shard != DefaultShard {
				spool += "-" + shard // each is of one intake alone
			}
			return intake.Options{
				Store: p.store, Spool: spool, Register: p.register, Signer: centre, Dialer: dials,
				ClientID: "ciglio-portal-" + shard, Shard: shard, Orders: orders.Open(o.Dir), Now: o.Now, Log: o.Log,
			}
		},
	}
}

// openStore opens the store where the options say it is.
func (o Options) openStore(ctx context.Context) (*record.Store, error) {
	if o.Database == "" && o.S3 == nil {
		return record.OpenFolder(ctx, o.Dir)
	}
	blobs, err := o.openBlobs(ctx)
	if err != nil {
		return nil, err
	}
	db, err := database.Open(ctx, o.database(), database.Options{})
	if err != nil {
		return nil, err
	}
	s, err := record.Open(ctx, db, blobs)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// LogKey is the public key of the log of the centre in dir, as others write it down:
// name+hash+key. It is made when there is none yet.
func LogKey(dir string) (string, error) {
	r, err := register.Open(dir)
	if err != nil {
		return "", err
	}
	key, err := openLogKey(dir, r)
	if err != nil {
		return "", err
	}
	return key.Verifier(), nil
}

// openLogKey names the log after the root of the centre that made its key.
func openLogKey(dir string, r *register.File) (*log.Key, error) {
	return log.OpenKey(filepath.Join(dir, logKeyName), "ciglio/"+r.Trust().Root().String()[:16])
}

// openLog opens what publishes the log: its key, made at the first start, and the newest
// checkpoint.
func (p *Portal) openLog(o Options) (err error) {
	if p.logKey, err = openLogKey(o.Dir, p.register); err != nil {
		return err
	}
	var witnesses []log.Witness
	if o.Witnesses != "" {
		text, err := durable.ReadAtMost(o.Witnesses, 1<<20)
		if err == nil {
			witnesses, err = log.ParseWitnesses(string(text))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", o.Witnesses, err)
		}
	}
	p.published, err = log.NewPublisher(log.Options{
		Source: p.store, Key: p.logKey, File: filepath.Join(o.Dir, checkpointName), Witnesses: witnesses, Log: o.Log,
	})
	return err
}

// LogKey is the public key of the log, as [LogKey] returns it.
func (p *Portal) LogKey() string { return p.logKey.Verifier() }

// known says whether the register has a device; it may have been enrolled a
// moment ago.
func (p *Portal) known(device evidence.DeviceID) bool {
	if p.register.Known(device) {
		return true
	}
	// Whether the register can be read is the intake's to say.
	return p.register.Refresh() == nil && p.register.Known(device)
}

// inForce says whether the register has a key of a device that counts now. A file
// that cannot be read lets nobody have a certificate who is not known to count.
func (p *Portal) inForce(device evidence.DeviceID) bool {
	if err := p.register.Refresh(); err != nil {
		p.log.Error("device register refused", "error", err)
		return false
	}
	return p.register.InForce(device, time.Now())
}

// sessions is a dialer that knows when its newest session that hears devices
// began.
type sessions struct {
	uplink.Dialer
	began atomic.Int64 // microseconds since 1970, as the store counts
}

// Dial opens a session.
func (s *sessions) Dial(ctx context.Context, o uplink.SessionOptions) (uplink.Session, error) {
	began := time.Now() // what the broker retains comes before Dial returns
	session, err := s.Dialer.Dial(ctx, o)
	if err == nil && len(o.Subscribe) > 0 {
		s.began.Store(began.UnixMicro())
	}
	return session, err
}

// Began returns when the newest of them began, or when the centre was opened.
func (s *sessions) Began() time.Time { return time.UnixMicro(s.began.Load()) }

// listen opens an address after checking who can reach it.
func listen(address string, remote bool) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	if tcp, ok := l.Addr().(*net.TCPAddr); !remote && (!ok || !tcp.IP.IsLoopback()) {
		return nil, errors.Join(fmt.Errorf("address %s: %w", address, ErrNotLoopback), l.Close())
	}
	return l, nil
}

// Addr is where the pages are, as host:port; empty when there are none.
func (p *Portal) Addr() string {
	if p.pages == nil {
		return ""
	}
	return p.pages.Addr().String()
}

// CitizensAddr is where the pages are that anybody may read, as host:port; empty when
// they are nowhere.
func (p *Portal) CitizensAddr() string {
	if p.public == nil {
		return ""
	}
	return p.public.Addr().String()
}

// MQTTAddr is where devices connect, as host:port; empty with another broker.
func (p *Portal) MQTTAddr() string {
	if p.mqtt == nil {
		return ""
	}
	return p.mqtt.Addr().String()
}

// ReadersAddr is where readers connect, as host:port; empty when nobody may.
func (p *Portal) ReadersAddr() string {
	if p.readers == nil {
		return ""
	}
	return p.readers.Addr().String()
}

// ESTAddr is where devices get their certificates, as host:port; empty when they
// do not.
func (p *Portal) ESTAddr() string {
	if p.enrolment == nil {
		return ""
	}
	return p.enrolment.Addr().String()
}

// MetricsAddr is where figures are, as host:port; empty when there are none.
func (p *Portal) MetricsAddr() string {
	if p.metrics == nil {
		return ""
	}
	return p.metrics.Addr().String()
}

// Reload reads the device register again if it has changed. A new device or key
// has the portal do so by itself; a revocation does not.
func (p *Portal) Reload() error { return p.register.Refresh() }

// Run serves until ctx ends, or until a part fails. When it returns, everything
// taken is stored and every goroutine has ended.
func (p *Portal) Run(ctx context.Context) error {
	// The broker ends last: the intake says goodbye to it. Records are numbered until all
	// are stored.
	beyond := context.WithoutCancel(ctx)
	brokerCtx, stopBroker := context.WithCancel(beyond)
	defer stopBroker()
	numberCtx, stopNumbers := context.WithCancel(beyond)
	defer stopNumbers()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var serving, numbering, carrying sync.WaitGroup
	errs := make(chan error, 5)
	part := func(group *sync.WaitGroup, run func() error) {
		group.Go(func() {
			defer stop()
			errs <- run()
		})
	}
	if p.broker != nil {
		part(&carrying, func() error { return p.broker.Run(brokerCtx) })
	}
	if p.sequencer != nil {
		numbering.Go(func() { p.sequencer.Run(numberCtx) })
	}
	if p.intakes != nil {
		part(&serving, func() error { return p.intakes.run(ctx) })
	}
	if p.officers != nil {
		part(&serving, func() error { return p.officers.Run(ctx, p.pages) })
	}
	if p.citizens != nil {
		part(&serving, func() error { return p.citizens.Run(ctx, p.public) })
	}
	if p.officers != nil || p.citizens != nil {
		serving.Go(func() { p.published.Follow(ctx) })
	}
	if p.metrics != nil {
		part(&serving, func() error { return p.watch(ctx, p.metrics) })
	}
	if p.est != nil {
		part(&serving, func() error { return p.est.Run(ctx, p.enrolment) })
	}
	if p.authority != nil || p.elsewhere != "" {
		serving.Go(func() { p.renew(ctx) })
	}
	if p.brokerLog != nil {
		serving.Go(func() { p.brokerLog.Run(ctx) })
	}
	serving.Go(func() { <-ctx.Done() }) // or a process that only numbers ended at once
	serving.Wait()
	stopNumbers()
	numbering.Wait()
	stopBroker()
	carrying.Wait()
	close(errs)
	var all error
	for err := range errs {
		all = errors.Join(all, err)
	}
	return all
}

// Close releases what New has opened. It is called after Run, or instead of it.
func (p *Portal) Close() error {
	var errs []error
	for _, l := range []net.Listener{p.pages, p.public, p.mqtt, p.readers, p.enrolment, p.metrics} {
		if l == nil {
			continue
		}
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if p.store != nil {
		errs = append(errs, p.store.Close())
	}
	return errors.Join(errs...)
}
