package calibration

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"time"

	"ciglio/agent/trust"
	"ciglio/capture/evidence"
	"ciglio/sensor"
)

// A Certificate is what a Digital Calibration Certificate of PTB's schema 3 says of a
// sensor: the certificate itself, in XML, as the laboratory issues it.
type Certificate struct {
	ID      string // coreData/uniqueIdentifier
	Serial  string // that the manufacturer gave the one item
	Ended   time.Time
	Recall  time.Time // the day by which it must be calibrated anew (basic_recalibration), as midnight UTC; zero for none
	Lowest  Milli     // ends of the range for which it holds (basic_validityRange)
	Highest Milli
	Points  []Point // one of each speed, in the order of the certificate
}

// A Milli is a speed or a difference of two in thousandths of a kilometre per hour.
type Milli int64

func (m Milli) String() string {
	sign := ""
	if m < 0 {
		sign, m = "-", -m
	}
	return fmt.Sprintf("%s%d.%03d km/h", sign, m/1000, m%1000)
}

// A Point is the error that the laboratory found at one speed: what the sensor
// measured less what was true.
type Point struct {
	Reference, Measured, Error Milli
	Uncertainty                Milli // of the error, k = 1, rounded up
}

// Limits of a certificate beside those of its bundle.
const (
	maxDepth    = 40
	maxElements = 20_000
	maxText     = 64 << 10 // bytes of one element's text
	maxPoints   = 1000
)

const (
	spaceDCC = "https://ptb.de/dcc"
	spaceSI  = "https://ptb.de/si"
)

// A node is an element of the two namespaces. What lies in others, such as an XML
// signature, is passed over.
type node struct {
	space, name string
	attributes  map[string]string // those without namespace
	text        string
	children    []*node
}

// ParseCertificate reads a Digital Calibration Certificate, and fails where it could
// be read in two ways: elements that must stand once stand once, numbers are
// decimal, and of a quantity in several units all that are speeds say the same.
// A document type, and with it every entity of its own, is refused.
//
// Its XML signature is not looked at: in a bundle the laboratory has signed the
// bytes of the certificate.
func ParseCertificate(text []byte) (*Certificate, error) {
	c, err := parseCertificate(text)
	if err != nil {
		return nil, fmt.Errorf("digital calibration certificate: %w", err)
	}
	return c, nil
}

func parseCertificate(text []byte) (*Certificate, error) {
	root, err := readTree(text)
	if err != nil {
		return nil, err
	}
	if root.space != spaceDCC || root.name != "digitalCalibrationCertificate" {
		return nil, fmt.Errorf("it begins with %.80q", root.name)
	}
	if v := root.attributes["schemaVersion"]; !regexp.MustCompile(`^3\.[0-9]{1,3}\.[0-9]{1,3}$`).MatchString(v) {
		return nil, fmt.Errorf("schemaVersion %.40q: want 3", v)
	}
	c := new(Certificate)
	administrative, err := root.one("administrativeData")
	if err != nil {
		return nil, err
	}
	if err := c.core(administrative); err != nil {
		return nil, err
	}
	if err := c.statements(administrative); err != nil {
		return nil, err
	}
	results, err := root.one("measurementResults")
	if err != nil {
		return nil, err
	}
	for _, list := range results.path("measurementResult", "results", "result", "data", "list") {
		if err := c.list(list); err != nil {
			return nil, err
		}
	}
	if len(c.Points) == 0 {
		return nil, errors.New("no table of speeds: want a list with basic_referenceValue, basic_measuredValue and basic_measurementError in km/h or m/s")
	}
	return c, nil
}

func readTree(text []byte) (*node, error) {
	d := xml.NewDecoder(bytes.NewReader(text))
	d.Strict = true
	var root *node
	var open []*node // nil for one that is passed over
	for n := 0; ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		switch t := token.(type) {
		case xml.Directive:
			return nil, errors.New("it has a document type: want none")
		case xml.StartElement:
			if n++; n > maxElements || len(open) == maxDepth {
				return nil, fmt.Errorf("more than %d elements, or %d in each other", maxElements, maxDepth)
			}
			if root != nil && len(open) == 0 {
				return nil, errors.New("more behind its end")
			}
			e, err := newNode(t)
			if err != nil {
				return nil, err
			}
			if len(open) > 0 && open[len(open)-1] == nil || e.space != spaceDCC && e.space != spaceSI {
				e = nil
			} else if len(open) > 0 {
				parent := open[len(open)-1]
				parent.children = append(parent.children, e)
			}
			if root == nil {
				if e == nil {
					return nil, fmt.Errorf("it begins with %.80q of namespace %.80q", t.Name.Local, t.Name.Space)
				}
				root = e
			}
			open = append(open, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) == 0 {
				if len(bytes.TrimSpace(t)) > 0 {
					return nil, errors.New("text outside of it")
				}
				continue
			}
			if e := open[len(open)-1]; e != nil {
				if len(e.text)+len(t) > maxText {
					return nil, fmt.Errorf("%s: more than %d bytes of text", e.name, maxText)
				}
				e.text += string(t)
			}
		}
	}
	if root == nil {
		return nil, errors.New("it is empty")
	}
	return root, nil
}

func newNode(t xml.StartElement) (*node, error) {
	e := &node{space: t.Name.Space, name: t.Name.Local, attributes: map[string]string{}}
	seen := map[xml.Name]bool{}
	for _, a := range t.Attr {
		if seen[a.Name] {
			return nil, fmt.Errorf("%s: attribute %s stands twice", e.name, a.Name.Local)
		}
		seen[a.Name] = true
		if a.Name.Space == "" {
			e.attributes[a.Name.Local] = a.Value
		}
	}
	return e, nil
}

func (e *node) all(name string) (all []*node) {
	for _, c := range e.children {
		if c.name == name {
			all = append(all, c)
		}
	}
	return all
}

func (e *node) one(name string) (*node, error) {
	all := e.all(name)
	if len(all) != 1 {
		return nil, fmt.Errorf("%s: %d elements %s, want one", e.name, len(all), name)
	}
	return all[0], nil
}

// path returns every element that lies under these names.
func (e *node) path(names ...string) []*node {
	at := []*node{e}
	for _, name := range names {
		var next []*node
		for _, n := range at {
			next = append(next, n.all(name)...)
		}
		at = next
	}
	return at
}

// is reports whether the element is of a reference type; it may be of several.
func (e *node) is(refType string) bool {
	return slices.Contains(strings.Fields(e.attributes["refType"]), refType)
}

func (e *node) words() string { return strings.TrimSpace(e.text) }

// say returns the text of the one child of a name.
func (e *node) say(name string) (string, error) {
	c, err := e.one(name)
	if err != nil {
		return "", err
	}
	return c.words(), nil
}

func (e *node) day(name string) (time.Time, error) {
	text, err := e.say(name)
	if err != nil {
		return time.Time{}, err
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s %.40q: want a day such as 2026-01-10", name, text)
	}
	return day, nil
}

func (c *Certificate) core(administrative *node) error {
	core, err := administrative.one("coreData")
	if err != nil {
		return err
	}
	if c.ID, err = core.say("uniqueIdentifier"); err != nil {
		return err
	}
	begun, err := core.day("beginPerformanceDate")
	if err == nil {
		c.Ended, err = core.day("endPerformanceDate")
	}
	if err != nil {
		return err
	}
	if c.Ended.Before(begun) {
		return errors.New("endPerformanceDate lies before beginPerformanceDate")
	}
	items, err := administrative.one("items")
	if err != nil {
		return err
	}
	item, err := items.one("item")
	if err != nil {
		return err
	}
	var serials []string
	named := false // one that says itself that it is the serial number
	for _, id := range item.path("identifications", "identification") {
		issuer, err := id.say("issuer")
		if err != nil {
			return err
		}
		value, err := id.say("value")
		if err != nil {
			return err
		}
		switch says := id.is("basic_serialNumber"); {
		case issuer != "manufacturer" || named && !says:
		case says && !named:
			serials, named = []string{value}, true
		default:
			serials = append(serials, value)
		}
	}
	if len(serials) != 1 {
		return fmt.Errorf("item: %d identifications by the manufacturer, want one, or one of refType basic_serialNumber", len(serials))
	}
	c.Serial = serials[0]
	if !evidence.Printable(c.ID, evidence.MaxText) || !evidence.Printable(c.Serial, evidence.MaxText) {
		return errors.New("uniqueIdentifier and serial number: want texts of 1 to 256 bytes")
	}
	return nil
}

func (c *Certificate) statements(administrative *node) (err error) {
	ranges := 0
	for _, s := range administrative.path("statements", "statement") {
		switch {
		case s.is("basic_recalibration"):
			if !c.Recall.IsZero() {
				return errors.New("two statements basic_recalibration")
			}
			if c.Recall, err = s.day("date"); err != nil {
				return err
			}
		case s.is("basic_validityRange"):
			if ranges++; ranges > 1 {
				return errors.New("two statements basic_validityRange")
			}
			for _, end := range []struct {
				refType string
				to      *Milli
			}{{"basic_validityRangeMin", &c.Lowest}, {"basic_validityRangeMax", &c.Highest}} {
				var found []*node
				for _, q := range s.path("data", "quantity") {
					if q.is(end.refType) {
						found = append(found, q)
					}
				}
				if len(found) != 1 {
					return fmt.Errorf("basic_validityRange: %d quantities %s, want one", len(found), end.refType)
				}
				values, err := found[0].speeds()
				if err != nil {
					return err
				}
				if len(values) != 1 {
					return fmt.Errorf("%s: want one speed", end.refType)
				}
				*end.to = values[0].value
			}
		}
	}
	switch {
	case ranges == 0:
		return errors.New("no statement basic_validityRange: it must say for which speeds it holds")
	case c.Lowest < 0 || c.Lowest >= c.Highest:
		return fmt.Errorf("basic_validityRange: %v to %v", c.Lowest, c.Highest)
	}
	return nil
}

// list reads a table. One of other quantities than speeds is passed over.
func (c *Certificate) list(list *node) error {
	columns := map[string][]value{}
	for _, q := range list.all("quantity") {
		for _, kind := range []string{"basic_referenceValue", "basic_measuredValue", "basic_measurementError"} {
			if !q.is(kind) {
				continue
			}
			if _, twice := columns[kind]; twice {
				return fmt.Errorf("a list with two %s", kind)
			}
			values, err := q.speeds()
			if err != nil {
				return fmt.Errorf("%s: %w", kind, err)
			}
			columns[kind] = values
			if kind != "basic_measurementError" || values == nil {
				continue
			}
			for _, verdict := range q.path("measurementMetaData", "metaData") {
				for _, name := range []string{"conformity", "conformityXMLList"} {
					for _, says := range verdict.all(name) {
						for word := range strings.FieldsSeq(says.text) {
							if word != "pass" {
								return fmt.Errorf("its laboratory says %.40q of the conformity: want pass", word)
							}
						}
					}
				}
			}
		}
	}
	reference, measured, errs := columns["basic_referenceValue"], columns["basic_measuredValue"], columns["basic_measurementError"]
	if reference == nil && measured == nil && errs == nil {
		return nil
	}
	if len(reference) == 0 || len(reference) != len(measured) || len(reference) != len(errs) {
		return fmt.Errorf("a list of %d reference values, %d measured values and %d errors: want as many of each, all speeds", len(reference), len(measured), len(errs))
	}
	if len(c.Points)+len(reference) > maxPoints {
		return fmt.Errorf("more than %d points", maxPoints)
	}
	for i, r := range reference {
		p := Point{Reference: r.value, Measured: measured[i].value, Error: errs[i].value, Uncertainty: errs[i].u}
		// Each of the three may be rounded to 0.01 km/h.
		if off := p.Measured - p.Reference - p.Error; off < -20 || off > 20 {
			return fmt.Errorf("at %v it measured %v, and the error is said to be %v", p.Reference, p.Measured, p.Error)
		}
		if !errs[i].known {
			return fmt.Errorf("at %v: the error has no expanded uncertainty with its coverage factor", p.Reference)
		}
		if p.Reference < c.Lowest || p.Reference > c.Highest {
			return fmt.Errorf("a point at %v lies outside of its range, %v to %v", p.Reference, c.Lowest, c.Highest)
		}
		c.Points = append(c.Points, p)
	}
	return nil
}

// A value is a speed, and its standard uncertainty where known says so.
type value struct {
	value, u Milli
	known    bool
}

// speeds returns what a quantity says in km/h or m/s; nil where it is of another unit.
func (e *node) speeds() (all []value, err error) {
	forms := slices.Concat(e.all("real"), e.all("realListXMLList"))
	for _, h := range e.all("hybrid") {
		forms = slices.Concat(forms, h.all("real"), h.all("realListXMLList"))
	}
	for _, form := range forms {
		values, err := form.speedsOf()
		if err != nil {
			return nil, err
		}
		switch {
		case values == nil:
		case all == nil:
			all = values
		case len(values) != len(all):
			return nil, errors.New("as many values in each unit")
		default:
			for i := range values {
				if off := values[i].value - all[i].value; off < -10 || off > 10 {
					return nil, fmt.Errorf("%v in one unit is %v in the other", all[i].value, values[i].value)
				}
				if values[i].known && (!all[i].known || values[i].u > all[i].u) {
					all[i].u, all[i].known = values[i].u, true
				}
			}
		}
	}
	return all, nil
}

// speedsOf reads si:real or si:realListXMLList.
func (e *node) speedsOf() ([]value, error) {
	suffix := strings.TrimPrefix(e.name, "realList")
	if e.name == "real" {
		suffix = ""
	}
	units, err := e.say("unit" + suffix)
	if err != nil {
		return nil, err
	}
	scale := (*big.Rat)(nil) // to thousandths of a km/h
	for i, unit := range strings.Fields(units) {
		var s *big.Rat
		switch unit {
		case `\kilo\metre\per\hour`, `\kilo\metre\hour\tothe{-1}`:
			s = big.NewRat(1000, 1)
		case `\metre\per\second`, `\metre\second\tothe{-1}`:
			s = big.NewRat(3600, 1)
		default:
			return nil, nil
		}
		if i > 0 && s.Cmp(scale) != 0 {
			return nil, fmt.Errorf("units %.80q: want one", units)
		}
		scale = s
	}
	if scale == nil {
		return nil, fmt.Errorf("%s: no unit", e.name)
	}
	numbers, err := e.numbers("value"+suffix, suffix == "")
	if err != nil {
		return nil, err
	}
	all := make([]value, len(numbers))
	for i, n := range numbers {
		if all[i].value, err = milli(n.Mul(n, scale), false); err != nil {
			return nil, err
		}
	}
	return all, e.uncertainty(suffix, scale, all)
}

// uncertainty reads the expanded uncertainty, in the spelling of either version of
// the units' schema. A list may have one for all of its values.
func (e *node) uncertainty(suffix string, scale *big.Rat, all []value) error {
	var found *node
	var expanded string
	for _, form := range []struct {
		path  []string
		value string
	}{
		{[]string{"expandedUnc" + suffix}, "uncertainty" + suffix},
		{[]string{"measurementUncertaintyUnivariate" + suffix, "expandedMU" + suffix}, "valueExpandedMU" + suffix},
	} {
		for _, one := range e.path(form.path...) {
			if found != nil {
				return fmt.Errorf("%s: two uncertainties", e.name)
			}
			found, expanded = one, form.value
		}
	}
	if found == nil {
		return nil
	}
	us, err := found.numbers(expanded, suffix == "")
	if err != nil {
		return err
	}
	ks, err := found.numbers("coverageFactor"+suffix, suffix == "")
	if err != nil {
		return err
	}
	if len(us) != 1 && len(us) != len(all) || len(ks) != 1 && len(ks) != len(all) {
		return fmt.Errorf("%s: %d uncertainties and %d coverage factors for %d values", e.name, len(us), len(ks), len(all))
	}
	for i := range all {
		u, k := us[min(i, len(us)-1)], ks[min(i, len(ks)-1)]
		if u.Sign() <= 0 || k.Cmp(big.NewRat(1, 1)) < 0 || k.Cmp(big.NewRat(10, 1)) > 0 {
			return fmt.Errorf("%s: want an uncertainty above 0 and a coverage factor of 1 to 10", e.name)
		}
		standard := new(big.Rat).Quo(u, k)
		if all[i].u, err = milli(standard.Mul(standard, scale), true); err != nil {
			return err
		}
		all[i].known = true
	}
	return nil
}

var numberForm = regexp.MustCompile(`^[-+]?[0-9]{1,12}(\.[0-9]{1,12})?([eE][-+]?[0-9]{1,2})?$`)

func (e *node) numbers(name string, single bool) ([]*big.Rat, error) {
	text, err := e.say(name)
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(text)
	if len(fields) == 0 || len(fields) > maxPoints || single && len(fields) != 1 {
		return nil, fmt.Errorf("%s: %d numbers", name, len(fields))
	}
	all := make([]*big.Rat, len(fields))
	for i, f := range fields {
		n, ok := new(big.Rat), numberForm.MatchString(f) // what does not match may be of any size
		if ok {
			n, ok = n.SetString(f)
		}
		if !ok {
			return nil, fmt.Errorf("%s %.40q: want a decimal number", name, f)
		}
		all[i] = n
	}
	return all, nil
}

// milli rounds to the nearest, or up.
func milli(n *big.Rat, up bool) (Milli, error) {
	const most = 1_000_000 // 1000 km/h
	if n.Cmp(big.NewRat(most, 1)) > 0 || n.Cmp(big.NewRat(-most, 1)) < 0 {
		return 0, errors.New("a speed of more than 1000 km/h")
	}
	add := big.NewRat(1, 2)
	if up {
		add = new(big.Rat).Sub(big.NewRat(1, 1), new(big.Rat).SetFrac(big.NewInt(1), n.Denom()))
	}
	sum := new(big.Rat).Add(n, add)
	return Milli(new(big.Int).Div(sum.Num(), sum.Denom()).Int64()), nil // Div rounds down
}

// Uncertainty is the largest standard uncertainty of its points.
func (c *Certificate) Uncertainty() (most Milli) {
	for _, p := range c.Points {
		most = max(most, p.Uncertainty)
	}
	return most
}

// Agrees compares a certificate with the statement that stands beside it. The error
// says in what they differ.
func (c *Certificate) Agrees(s *trust.Calibration) error {
	day := func(t time.Time) time.Time {
		y, m, d := evidence.SiteTime(t).Date()
		return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	}
	var differ error
	switch {
	case c.ID != s.ID:
		differ = fmt.Errorf("id is %q, the certificate is %q", s.ID, c.ID)
	case c.Serial != s.Serial:
		differ = fmt.Errorf("sensor_serial is %q, the certificate is of %q", s.Serial, c.Serial)
	case day(s.NotBefore).Before(c.Ended):
		differ = fmt.Errorf("not_before lies before %s, when the calibration was done", c.Ended.Format(time.DateOnly))
	case !c.Recall.IsZero() && day(s.NotAfter).After(c.Recall):
		differ = fmt.Errorf("not_after lies behind %s, by when the sensor must be calibrated anew", c.Recall.Format(time.DateOnly))
	case s.Uncertainty > 0 && c.Uncertainty() > Milli(s.Uncertainty)*10:
		differ = fmt.Errorf("uncertainty is %v, the certificate has %v (k = 1)", s.Uncertainty, c.Uncertainty())
	}
	if differ != nil {
		return fmt.Errorf("calibration: the statement differs from the digital calibration certificate: %w", differ)
	}
	return nil
}

// Covers says whether the certificate holds up to a speed.
func (c *Certificate) Covers(most sensor.Speed) error {
	if Milli(most)*10 > c.Highest {
		return fmt.Errorf("sensor.maximum is %v, the digital calibration certificate %s holds up to %v", most, c.ID, c.Highest)
	}
	return nil
}

// String says the certificate in lines.
func (c *Certificate) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "certificate %s of sensor %s, done %s, for %v to %v\n", c.ID, c.Serial, c.Ended.Format(time.DateOnly), c.Lowest, c.Highest)
	if !c.Recall.IsZero() {
		fmt.Fprintf(&b, "            to be calibrated anew by %s\n", c.Recall.Format(time.DateOnly))
	}
	points := slices.Clone(c.Points)
	slices.SortStableFunc(points, func(a, b Point) int { return cmp.Compare(a.Reference, b.Reference) })
	for _, p := range points {
		fmt.Fprintf(&b, "            at %v error %v, u %v\n", p.Reference, p.Error, p.Uncertainty)
	}
	return b.String()
}
