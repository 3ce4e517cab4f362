package provision

import (
	"cmp"

	"ciglio/agent/calibration"
	"ciglio/agent/enrol"
	"ciglio/agent/register"
	"ciglio/agent/rules"
	"ciglio/agent/site"
	"ciglio/agent/software"
	"ciglio/capture/evidence"
	p "ciglio/internal/provisioning"
)

// Known returns the checks of the kinds that this program brings into force, on a
// machine of an architecture, as Debian names it; "" where it is asked at a desk. A kind
// that nothing reads yet is not among them: what is only kept would be told of as in
// force.
func Known(architecture string) Checks {
	return Checks{
		p.Software: func(b *p.Bundle) error {
			m, err := software.Parse(b.Text())
			if err != nil {
				return err
			}
			_, err = software.Check(b, cmp.Or(architecture, m.Architecture))
			return err
		},
		p.Calibration:  checkCalibration,
		p.Site:         readable(site.Parse),
		p.Register:     readable(register.Parse),
		p.Rules:        readable(rules.Parse),
		p.Certificates: func(b *p.Bundle) error { return enrol.CheckBundle(b.Text()) },
		p.Trust:        readable(evidence.ParseTrust),
	}
}

// readable is the check of a statement that is good when it can be read.
func readable[T any](parse func(text []byte) (T, error)) func(b *p.Bundle) error {
	return func(b *p.Bundle) error {
		_, err := parse(b.Text())
		return err
	}
}

// checkCalibration takes a statement that says what the digital certificate beside it
// says, where there is one.
func checkCalibration(b *p.Bundle) error {
	s, err := calibration.Parse(b.Text())
	if err != nil {
		return err
	}
	c, err := Certificate(b)
	if c == nil || err != nil {
		return err
	}
	return c.Agrees(s)
}

// Certificate returns the digital certificate in a bundle of kind calibration; nil where
// there is none.
func Certificate(b *p.Bundle) (*calibration.Certificate, error) {
	text := b.Content("certificate.xml")
	if text == nil {
		return nil, nil
	}
	return calibration.ParseCertificate(text)
}
