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
		p.Calibration:  readable(calibration.Parse),
		p.Site:         readable(site.Parse),
		p.Register:     readable(register.Parse),
		p.Certificates: enrol.CheckBundle,
		p.Trust:        readable(evidence.ParseTrust),
	}
}

// readable is the check of a statement that is good when it can be read.
func readable[T any](parse func(text []byte) (T, error)) func(text []byte) error {
	return func(text []byte) error {
		_, err := parse(text)
		return err
	}
}
