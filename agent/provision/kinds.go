package provision

import (
	"ciglio/agent/calibration"
	"ciglio/agent/enrol"
	"ciglio/agent/register"
	"ciglio/agent/site"
	"ciglio/capture/evidence"
	p "ciglio/internal/provisioning"
)

// Known returns the checks of the kinds that this program brings into force. A kind
// that nothing reads yet is not among them: what is only kept would be told of as in
// force.
func Known() Checks {
	return Checks{
		p.Calibration:  func(text []byte) error { _, err := calibration.Parse(text); return err },
		p.Site:         site.Check,
		p.Register:     register.Check,
		p.Certificates: enrol.CheckBundle,
		p.Trust:        func(text []byte) error { _, err := evidence.ParseTrust(text); return err },
	}
}
