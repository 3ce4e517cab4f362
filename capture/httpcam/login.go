package httpcam

import (
	"crypto/md5" // of RFC 7616: the camera's choice, not ours
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/icholy/digest"
)

// ErrLogin says that a camera wants another login than it was given, or one that
// is not allowed.
var ErrLogin = errors.New("camera does not let us in")

// lockout is the wait after a refused login. Cameras shut an address out for up to
// half an hour that tries a wrong password some five times in a row.
const lockout = 5 * time.Minute

// A login is what a camera is told of who asks. Its password goes nowhere else.
type login struct {
	user, password string
	basic          bool // the password itself may be sent
}

// newLogin takes user and password out of an address, or those given.
func newLogin(u *url.URL, o *Options) (login, error) {
	l := login{user: o.User, password: o.Password}
	if u.User != nil {
		if o.User != "" || o.Password != "" {
			return l, errors.New("camera: a user in the address and another beside it: want one")
		}
		l.user = u.User.Username()
		l.password, _ = u.User.Password()
		u.User = nil
	}
	switch {
	case l.user == "" && l.password != "":
		return l, errors.New("camera: a password without a user")
	case strings.ContainsAny(l.user, ":\x00\r\n") || strings.ContainsAny(l.password, "\x00\r\n"):
		return l, errors.New("camera: user or password with a colon in the user's name, a line end or a zero byte")
	}
	l.basic = o.Basic || u.Scheme == "https" || isLoopback(u.Hostname())
	return l, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// A challenge is what a server asks for, once.
type challenge struct {
	scheme string            // in lower case
	values map[string]string // by names in lower case
}

// stale reports whether a login was refused for its age alone.
func (c challenge) stale() bool { return strings.EqualFold(c.values["stale"], "true") }

// answer returns the value of the header Authorization that answers the strongest
// challenge understood. Its errors wrap [ErrLogin].
func (l login) answer(headers []string, u *url.URL) (authorization string, err error) {
	all := challenges(headers)
	if l.user == "" {
		return "", fmt.Errorf("it asks for a user and a password, and none is configured: %w", ErrLogin)
	}
	var best challenge
	strength, basic := 0, len(all) == 0 // some servers do not say how
	var asked []string
	for _, c := range all {
		asked = append(asked, c.String())
		basic = basic || c.scheme == "basic"
		if s := c.strength(); s > strength {
			best, strength = c, s
		}
	}
	switch {
	case strength > 0:
		return l.digest(best, u)
	case basic && l.basic:
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(l.user+":"+l.password)), nil
	case basic:
		return "", fmt.Errorf("it asks for a Basic login over http, which shows the password to the whole network; want digest login at the camera, https, or that Basic is allowed: %w", ErrLogin)
	}
	return "", fmt.Errorf("it asks for a login that is not known here, %.100s: %w", strings.Join(asked, "; "), ErrLogin)
}

// String names the kind of a challenge.
func (c challenge) String() string {
	words := c.scheme
	for _, key := range []string{"algorithm", "qop"} {
		if v := c.values[key]; v != "" {
			words += fmt.Sprintf(" %s %.20q", key, v)
		}
	}
	return words
}

// algorithm returns the hash of a digest challenge, nil for one that is not known,
// and whether it takes the session's form.
func (c challenge) algorithm() (name string, session bool) {
	name, session = strings.CutSuffix(strings.ToUpper(c.values["algorithm"]), "-SESS")
	if name == "" && !session {
		name = "MD5"
	}
	return name, session
}

// qop returns the protection that is answered with: "auth", or "" where the camera
// names none, as before RFC 2617. That of the body, auth-int, is not known here.
func (c challenge) qop() (qop string, ok bool) {
	text, named := c.values["qop"]
	if !named || strings.TrimSpace(text) == "" {
		return "", true
	}
	for _, q := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		if strings.EqualFold(q, "auth") {
			return "auth", true
		}
	}
	return "", false
}

// strength orders what digest challenges ask for; 0 is what cannot be answered.
func (c challenge) strength() int {
	name, session := c.algorithm()
	qop, ok := c.qop()
	if c.scheme != "digest" || !ok || c.values["nonce"] == "" || session && qop == "" {
		return 0
	}
	s := 2 * (1 + slices.Index([]string{"MD5", "SHA-256", "SHA-512-256"}, name))
	if s > 0 && qop != "" {
		s++
	}
	return s
}

// digest answers a digest challenge (RFC 7616). Every challenge is answered once,
// so that the count of the nonce is always one.
func (l login) digest(c challenge, u *url.URL) (string, error) {
	name, session := c.algorithm()
	asked := &digest.Challenge{
		Realm: c.values["realm"], Nonce: c.values["nonce"], Opaque: c.values["opaque"], Algorithm: name,
		Userhash: strings.EqualFold(c.values["userhash"], "true"),
	}
	if qop, _ := c.qop(); qop != "" {
		asked.QOP = []string{qop}
	}
	var random [16]byte
	rand.Read(random[:])
	o := digest.Options{
		Method: http.MethodGet, URI: u.RequestURI(), Count: 1,
		Username: l.user, Password: l.password, Cnonce: hex.EncodeToString(random[:]),
	}
	if session {
		o.A1 = hashed(name, hashed(name, o.Username+":"+asked.Realm+":"+o.Password)+":"+asked.Nonce+":"+o.Cnonce)
	}
	answer, err := digest.Digest(asked, o)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrLogin, err)
	}
	answer.Algorithm = c.values["algorithm"] // as the camera spells it, or not at all
	return answer.String(), nil
}

// hashed returns the hexadecimal hash of a text.
func hashed(name, text string) string {
	h := md5.New()
	switch name {
	case "SHA-256":
		h = sha256.New()
	case "SHA-512-256":
		h = sha512.New512_256()
	}
	_, _ = io.WriteString(h, text)
	return hex.EncodeToString(h.Sum(nil))
}

// challenges takes the values of WWW-Authenticate apart (RFC 9110, section 11.6.1):
// several may stand in one, with commas between them as between their parameters.
func challenges(headers []string) (all []challenge) {
	for _, text := range headers {
		for text = skip(text); text != ""; text = skip(text) {
			var word string
			if word, text = token(text); word == "" {
				text = text[1:] // what begins no word
				continue
			}
			after := strings.TrimLeft(text, " \t")
			if value, ok := strings.CutPrefix(after, "="); ok && len(all) > 0 {
				name := strings.ToLower(word)
				if word, text = quoted(strings.TrimLeft(value, " \t")); all[len(all)-1].values[name] == "" {
					all[len(all)-1].values[name] = word
				}
				continue
			}
			all = append(all, challenge{scheme: strings.ToLower(word), values: map[string]string{}})
		}
	}
	return all
}

func skip(text string) string { return strings.TrimLeft(text, ", \t") }

// token cuts off what may be a name.
func token(text string) (word, rest string) {
	i := strings.IndexAny(text, ", \t=\"")
	if i < 0 {
		i = len(text)
	}
	return text[:i], text[i:]
}

// quoted cuts off a value, in quotes or not.
func quoted(text string) (value, rest string) {
	if !strings.HasPrefix(text, `"`) {
		i := strings.IndexAny(text, ", \t")
		if i < 0 {
			i = len(text)
		}
		return text[:i], text[i:]
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return b.String(), text[i+1:]
		case c == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), ""
}
