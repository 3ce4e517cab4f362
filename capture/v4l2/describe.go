//go:build linux

package v4l2

import "fmt"

// A Description is what a video device and its driver say of themselves.
type Description struct {
	Card, Driver string
	Streams      bool // pictures; not metadata, and no encoder
	Simulated    bool // by the kernel: its pictures are no evidence
	Modes        []Mode
}

// A Mode is a format and a size that the camera has. Where Range is set it has
// sizes up to this one; without a size its driver does not tell any.
type Mode struct {
	Code          string // as the kernel spells it, such as "MJPG"
	Width, Height int
	Range         bool
}

// Has reports whether the camera has pictures of that format and size. A device
// without modes has those that its media pipeline is set to: it does not say no.
func (d Description) Has(f Format, width, height int) bool {
	for _, m := range d.Modes {
		fits := m.Width == width && m.Height == height || m.Range && width <= m.Width && height <= m.Height
		if m.Code == f.four() && (fits || m.Width == 0) {
			return true
		}
	}
	return len(d.Modes) == 0
}

// Describe opens a video device for as long as it takes to ask what it is and
// which pictures it has. It sets nothing, and can be asked while another program
// streams from it.
func Describe(path string) (Description, error) { return describe(path, openNode) }

// The structs of ENUM_FMT and ENUM_FRAMESIZES are the same on all machines.
const (
	sizeFormatDesc = 64 // struct v4l2_fmtdesc
	sizeFrameSize  = 44 // struct v4l2_frmsizeenum

	reqEnumFormats = ioRead | ioWrite | sizeFormatDesc<<16 | ioVideo | 2
	reqEnumSizes   = ioRead | ioWrite | sizeFrameSize<<16 | ioVideo | 74

	sizeDiscrete = 1 // V4L2_FRMSIZE_TYPE_DISCRETE

	mostFormats, mostSizes = 64, 64 // of a driver that never says that it was the last
)

func describe(path string, open func(string) (node, error)) (d Description, err error) {
	n, err := open(path)
	if err != nil {
		return d, err
	}
	defer func() {
		if e := n.close(); err == nil {
			err = e
		}
	}()
	b := make([]byte, sizeCapability)
	if err := n.control(reqQueryCap, b); err != nil {
		return d, fmt.Errorf("not a video device: %w", err)
	}
	who := readCapability(b)
	d = Description{
		Card: who.card, Driver: who.driver, Simulated: simulated(who),
		Streams: who.caps&capCapture != 0 && who.caps&capStreaming != 0,
	}
	if !d.Streams {
		return d, nil
	}
	for i := range uint32(mostFormats) {
		b := make([]byte, sizeFormatDesc)
		put32(b, 0, i)
		put32(b, 4, typeCapture)
		if n.control(reqEnumFormats, b) != nil {
			break // EINVAL: there are no more
		}
		d.Modes = append(d.Modes, sizes(n, get32(b, 44))...)
	}
	return d, nil
}

// sizes asks for the sizes of one format. A driver that has none to tell gives
// the format alone.
func sizes(n node, code uint32) (modes []Mode) {
	name := spell(code)
	for i := range uint32(mostSizes) {
		b := make([]byte, sizeFrameSize)
		put32(b, 0, i)
		put32(b, 4, code)
		if n.control(reqEnumSizes, b) != nil {
			break
		}
		if get32(b, 8) == sizeDiscrete {
			modes = append(modes, Mode{Code: name, Width: int(get32(b, 12)), Height: int(get32(b, 16))})
			continue
		}
		// Continuous or stepwise: the largest of each, at index 0 alone.
		return append(modes, Mode{Code: name, Width: int(get32(b, 16)), Height: int(get32(b, 28)), Range: true})
	}
	if len(modes) == 0 {
		modes = []Mode{{Code: name}}
	}
	return modes
}
