// Package est enrols devices over HTTPS: Enrollment over Secure Transport, RFC
// 7030, with its requests cacerts, simpleenroll and simplereenroll, and one of our
// own by which a device brings its evidence key, for the root to enter.
//
// What it keeps true: a device's first certificate costs a one-time code, each
// further one the certificate before; a certificate is for the one who asks and
// no other; a device that the register does not know, or no longer, is given none;
// whoever asks without right learns nothing, and not whether the device exists.
//
// Who is slow, or wrong, takes nothing from others. A request is read, 8 KiB in ten
// seconds, before it takes one of the few places where requests are worked on. One
// connection too many ends the oldest of the address that has most, so that a device
// with one gets in whoever else knocks. A wrong code uses up nothing: it is answered
// [wrongDelay] later, on its connection. So at most 256 are tried a second, 4.4e7 in
// the 48 hours of a code that is one of 2^60: the chance to guess one is 4e-11.
//
// What is not here: serverkeygen, as keys are made on devices; fullcmc; csrattrs.
package est

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/mtls"
	"ciglio/internal/pages"
	"ciglio/portal/ca"
	"ciglio/portal/tally"
	"ciglio/uplink/wire"
)

// Where the requests are.
const (
	Root        = "/.well-known/est/"
	EvidenceKey = "/ciglio/v1/evidence-key"
)

// Limits.
const (
	maxBody     = 8 << 10          // bytes of a request, in base64
	maxRequests = 16               // worked on
	readTime    = 10 * time.Second // for a request to come, or the next to begin
	writeTime   = 30 * time.Second // from its head to the end of the answer
	waitTime    = 10 * time.Second // for a place where it is worked on
	wrongDelay  = time.Second      // before a wrong code is answered
)

// Options of a Server.
type Options struct {
	CA *ca.CA
	// TLS has whom the server believes and what it shows; see [mtls.Source].
	TLS func() (*mtls.Authority, *tls.Certificate)
	// IsEvidenceKey says whether a key is in the register: it seals records and
	// nothing else, and so is given no certificate for TLS.
	IsEvidenceKey func(*ecdsa.PublicKey) bool
	// InForce says whether the register has an evidence key of a device that counts
	// now, and Waits whether one that it has brought waits for the root: with a code
	// a device may be given its first certificate before the root has met.
	InForce func(evidence.DeviceID) bool
	Waits   func(evidence.DeviceID) bool
	// Propose keeps the evidence key of a device for the root to enter: what the
	// device has sent, at most 8 KiB. An error that wraps [ca.ErrRequest] is the
	// device's, and it is told.
	Propose func(evidence.DeviceID, []byte) error
	Log     *slog.Logger // nil: nothing is logged
}

// A Server answers devices. It is safe for concurrent use.
type Server struct {
	o     Options
	slots chan struct{}
	tally *tally.Tally
	delay time.Duration // before a wrong code is answered
}

var (
	// errLogin says that a request has neither a certificate nor an id and a code.
	errLogin = errors.New("no login")
	// errRegister says that the register does not let a device have a certificate.
	errRegister = errors.New("the register has no key of this device that counts: the centre's root enters it first")
)

// New prepares a server.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{o: o, slots: make(chan struct{}, maxRequests), tally: tally.New(o.Log), delay: wrongDelay}
}

// Run serves on l until ctx ends. It closes l.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: readTime,
		ReadTimeout:       readTime,
		WriteTimeout:      writeTime,
		IdleTimeout:       readTime,
		MaxHeaderBytes:    4 << 10,
		ErrorLog:          slog.NewLogLogger(s.o.Log.Handler(), slog.LevelWarn),
		TLSNextProto:      map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	knocks := newListener(l, s)
	go knocks.serve()
	counting, stop := context.WithCancel(ctx)
	defer stop()
	knocks.work.Go(func() { s.tally.Run(counting) })
	err := pages.Serve(ctx, server, knocks, 5*time.Second)
	knocks.Close()
	stop()
	knocks.work.Wait()
	return err
}

// config is that of a handshake in which a client may show a certificate.
func (s *Server) config() *tls.Config {
	authority, own := s.o.TLS()
	c := authority.Server(own, nil)
	c.ClientAuth = tls.VerifyClientCertIfGiven
	verify := c.VerifyConnection
	c.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return nil
		}
		return verify(state)
	}
	c.NextProtos = []string{"http/1.1"}
	return c
}

// Handler answers requests.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+Root+"cacerts", s.working(s.authorities))
	mux.Handle("POST "+Root+"simpleenroll", s.working(s.enrol))
	mux.Handle("POST "+Root+"simplereenroll", s.working(s.renew))
	mux.Handle("POST "+EvidenceKey, s.working(s.evidenceKey))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

// An act does what a request asks for, whose body has come as far as it will: bodyErr
// says why not to its end. It returns how to answer, and which device has asked, as
// far as that is known.
type act func(r *http.Request, body []byte, bodyErr error) (answer func(http.ResponseWriter), device evidence.DeviceID, err error)

// working reads a request, waits for a place, acts, leaves the place, and answers:
// who reads or writes slowly has none meanwhile.
func (s *Server) working(do act) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, bodyErr := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if bodyErr != nil {
			bodyErr = fmt.Errorf("%w: %w", ca.ErrRequest, bodyErr)
		}
		ctx, cancel := context.WithTimeout(r.Context(), waitTime)
		defer cancel()
		select {
		case s.slots <- struct{}{}:
		case <-ctx.Done():
			w.Header().Set("Retry-After", "10")
			http.Error(w, "too many ask at once: try again in a moment", http.StatusServiceUnavailable)
			return
		}
		answer, device, err := do(r, body, bodyErr)
		<-s.slots
		if err != nil {
			s.refuse(w, r, device, err)
			return
		}
		answer(w)
	})
}

func (s *Server) authorities(*http.Request, []byte, error) (func(http.ResponseWriter), evidence.DeviceID, error) {
	all, err := s.o.CA.Authorities()
	return giving(all...), evidence.DeviceID{}, err
}

// enrol gives a device its first certificate, for a one-time code.
func (s *Server) enrol(r *http.Request, body []byte, bodyErr error) (func(http.ResponseWriter), evidence.DeviceID, error) {
	device, code, ok := login(r)
	if !ok {
		return nil, device, errLogin
	}
	// The code before the request: who has none is told nothing about his request.
	if err := s.o.CA.CheckCode(device, code, time.Now()); err != nil {
		return nil, device, err
	}
	public, err := s.request(body, bodyErr, device)
	if err == nil && !s.o.InForce(device) && !s.o.Waits(device) {
		err = errRegister
	}
	if err != nil {
		return nil, device, err
	}
	certificate, err := s.o.CA.Enrol(device, code, public, time.Now())
	return s.give(device, certificate, err, "device enrolled")
}

// renew gives a device another certificate, for the one that it shows.
func (s *Server) renew(r *http.Request, body []byte, bodyErr error) (func(http.ResponseWriter), evidence.DeviceID, error) {
	device, ok := shown(r)
	if !ok {
		return nil, device, errLogin
	}
	public, err := s.request(body, bodyErr, device)
	if err != nil {
		return nil, device, err
	}
	if err := s.o.CA.Counts(r.TLS.PeerCertificates, time.Now()); err != nil {
		return nil, device, err
	}
	if !s.o.InForce(device) {
		return nil, device, errRegister
	}
	certificate, err := s.o.CA.Follow(r.TLS.PeerCertificates, device, public, time.Now())
	return s.give(device, certificate, err, "device's certificate renewed")
}

func (s *Server) give(device evidence.DeviceID, certificate *x509.Certificate, err error, event string) (func(http.ResponseWriter), evidence.DeviceID, error) {
	if err != nil {
		return nil, device, err
	}
	s.o.Log.Info(event, "device", device.String(), "serial", fmt.Sprintf("%x", certificate.SerialNumber), "until", certificate.NotAfter)
	return giving(certificate), device, nil
}

// request reads a certificate request of the device.
func (s *Server) request(body []byte, bodyErr error, device evidence.DeviceID) (*ecdsa.PublicKey, error) {
	if bodyErr != nil {
		return nil, bodyErr
	}
	der, err := decode(body)
	if err != nil {
		return nil, err
	}
	asked, err := wire.ParseTLSRequest(der, device)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ca.ErrRequest, err)
	}
	public := asked.PublicKey.(*ecdsa.PublicKey)
	switch {
	case s.o.IsEvidenceKey != nil && s.o.IsEvidenceKey(public):
		return nil, fmt.Errorf("%w: its key is an evidence key, which seals records and nothing else", ca.ErrRequest)
	}
	return public, nil
}

// evidenceKey keeps a device's evidence key for the root to enter.
func (s *Server) evidenceKey(r *http.Request, body []byte, bodyErr error) (func(http.ResponseWriter), evidence.DeviceID, error) {
	device, ok := shown(r)
	var err error
	if ok {
		err = s.o.CA.Counts(r.TLS.PeerCertificates, time.Now())
	} else {
		var code string
		if device, code, ok = login(r); !ok {
			return nil, device, errLogin
		}
		err = s.o.CA.CheckCode(device, code, time.Now())
	}
	if err == nil {
		err = bodyErr
	}
	if err == nil {
		err = s.o.Propose(device, body)
	}
	if err != nil {
		return nil, device, err
	}
	s.o.Log.Info("evidence key waits for the root", "device", device.String())
	return func(w http.ResponseWriter) { w.WriteHeader(http.StatusAccepted) }, device, nil
}

// login reads the device's id and its code.
func login(r *http.Request) (evidence.DeviceID, string, bool) {
	name, code, ok := r.BasicAuth()
	if !ok {
		return evidence.DeviceID{}, "", false
	}
	device, err := evidence.ParseDeviceID(name)
	return device, code, err == nil
}

// shown is the device whose certificate the handshake has verified.
func shown(r *http.Request) (evidence.DeviceID, bool) {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return evidence.DeviceID{}, false
	}
	name, err := mtls.Name(r.TLS.PeerCertificates[0])
	if err != nil {
		return evidence.DeviceID{}, false
	}
	device, err := evidence.ParseDeviceID(name)
	return device, err == nil
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, device evidence.DeviceID, err error) {
	switch {
	case errors.Is(err, ca.ErrCode), errors.Is(err, ca.ErrRight), errors.Is(err, errLogin):
		s.noRight(w, r, device, errors.Is(err, ca.ErrCode))
	case errors.Is(err, errRegister):
		s.tally.Add(tally.Key{Level: slog.LevelWarn, Message: "enrolment refused", Reason: "not in the register"}, "device", device.String())
		http.Error(w, err.Error(), http.StatusForbidden)
	case errors.Is(err, ca.ErrRequest):
		s.tally.Add(tally.Key{Level: slog.LevelWarn, Message: "enrolment refused", Reason: "its request"}, "device", device.String(), "error", err)
		http.Error(w, err.Error(), http.StatusBadRequest)
	default:
		s.fail(w, err)
	}
}

// noRight is the one answer to whoever has no right, whatever lacks. A wrong code is
// answered later.
func (s *Server) noRight(w http.ResponseWriter, r *http.Request, device evidence.DeviceID, wrong bool) {
	named := ""
	if device != (evidence.DeviceID{}) {
		named = device.String()
	}
	s.tally.Add(tally.Key{Level: slog.LevelWarn, Message: "enrolment refused", Reason: "neither certificate nor code that counts"}, "device", named, "remote", r.RemoteAddr)
	if wrong {
		select {
		case <-time.After(s.delay):
		case <-r.Context().Done():
		}
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="Ciglio enrolment"`)
	http.Error(w, "want a device's certificate, or its id and a one-time code that counts", http.StatusUnauthorized)
}

func (s *Server) fail(w http.ResponseWriter, err error) {
	s.tally.Add(tally.Key{Level: slog.LevelError, Message: "enrolment failed"}, "error", err)
	http.Error(w, "the centre cannot issue certificates now: its log says why", http.StatusInternalServerError)
}

// decode reads base64 with or without line ends, as RFC 8951 has it, and nothing
// else.
func decode(body []byte) ([]byte, error) {
	der, err := base64.StdEncoding.Strict().DecodeString(string(body))
	if err != nil {
		return nil, fmt.Errorf("%w: not base64", ca.ErrRequest)
	}
	return der, nil
}

// giving is an answer with certificates.
func giving(certificates ...*x509.Certificate) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { answer(w, certificates...) }
}

// answer sends certificates as a degenerate PKCS #7.
func answer(w http.ResponseWriter, certificates ...*x509.Certificate) {
	der, err := bundle(certificates...)
	if err != nil {
		http.Error(w, "the answer cannot be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/pkcs7-mime; smime-type=certs-only")
	w.Header().Set("Content-Transfer-Encoding", "base64")
	text := base64.StdEncoding.EncodeToString(der)
	for len(text) > 76 {
		io.WriteString(w, text[:76]+"\r\n")
		text = text[76:]
	}
	io.WriteString(w, text+"\r\n")
}

var (
	oidData       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSignedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
)

// bundle returns certificates as PKCS #7 signed data of nothing that nobody has
// signed (RFC 5652, RFC 5272 section 4.1), DER.
func bundle(certificates ...*x509.Certificate) ([]byte, error) {
	type content struct {
		Type asn1.ObjectIdentifier
	}
	type signedData struct {
		Version      int
		Algorithms   asn1.RawValue
		Content      content
		Certificates asn1.RawValue
		Signers      asn1.RawValue
	}
	var all []byte
	for _, c := range certificates {
		all = append(all, c.Raw...)
	}
	nothing := asn1.RawValue{Tag: asn1.TagSet, IsCompound: true}
	inner, err := asn1.Marshal(signedData{1, nothing, content{oidData},
		asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: all}, nothing})
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}{oidSignedData, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: inner}})
}
