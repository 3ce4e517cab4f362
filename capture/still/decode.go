package still

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
)

// A header is what of a JPEG's frame header decides how much memory it takes.
type header struct {
	width, height int
	progressive   bool
	components    int
	// samples is how many samples the decoder holds of all components, whole blocks.
	samples int
	// red reports that the components may be red, green and blue, which the decoder
	// copies once more.
	red bool
}

// readHeader reads the frame header of a JPEG that [capture.InspectJPEG] has passed.
func readHeader(b []byte) (h header) {
	for at := 2; at+4 <= len(b); {
		for b[at] == 0xFF && b[at+1] == 0xFF {
			at++
		}
		mark, size := b[at+1], int(b[at+2])<<8|int(b[at+3])
		s := b[at+4 : at+2+size]
		switch mark {
		case 0xEE: // APP14 of Adobe may say that there is no luminance
			h.red = true
		case 0xC0, 0xC1, 0xC2:
			h.height, h.width = int(s[1])<<8|int(s[2]), int(s[3])<<8|int(s[4])
			h.progressive, h.components = mark == 0xC2, int(s[5])
			across, down := 1, 1
			for i := range h.components {
				across, down = max(across, int(s[7+3*i]>>4)), max(down, int(s[7+3*i]&15))
			}
			units := ((h.width + 8*across - 1) / (8 * across)) * ((h.height + 8*down - 1) / (8 * down))
			for i := range h.components {
				h.samples += 64 * units * int(s[7+3*i]>>4) * int(s[7+3*i]&15)
			}
			if h.components == 3 && s[6] == 'R' && s[9] == 'G' && s[12] == 'B' {
				h.red = true
			}
		case 0xDA:
			return h
		}
		at += 2 + size
	}
	return h
}

// afford returns an error that wraps [ErrMemory] unless all that rendering allocates,
// the source and the garbage among it, stays below [MaxMemory].
func afford(b []byte, held int, r *Recipe) error {
	h := readHeader(b)
	pixels := h.width * h.height
	need := held + h.samples + 1<<20 // the last for tables, glyphs and what the decoder reads ahead
	if h.progressive {
		need += 4 * h.samples // coefficients
	}
	if h.components == 1 {
		h.samples += pixels/2 + h.width + h.height // chroma
		need += pixels/2 + h.width + h.height
	} else if h.red {
		need += 4*pixels + 3*pixels
	}
	size, err := r.fits(image.Pt(h.width, h.height))
	if err != nil {
		return err
	}
	planes := 3 * size.X * size.Y
	if r.Crop != nil {
		need += 3 * int(r.Crop.Width) * int(r.Crop.Height)
	}
	if r.Zoom != nil || r.Fit != nil {
		high := h.height
		if r.Crop != nil {
			high = int(r.Crop.Height)
		}
		need += planes + 3*size.X*high // and what was scaled across
	} else if r.Crop == nil {
		planes = min(planes, h.samples) // still as it was decoded
	}
	if r.Bar != nil {
		bar := 3 * size.X * (r.Bar.height(size.X) + 16)
		need += planes + bar
		planes += bar
	}
	// What is made is held in pieces, and then in one.
	if need += 2 * min(MaxDerived, 2*planes+pieceSize); need > MaxMemory {
		return fmt.Errorf("%w: %d by %d pixels would take %d bytes, want at most %d", ErrMemory, h.width, h.height, need, MaxMemory)
	}
	return nil
}

// decode returns the pixels of a JPEG, in planes of their own.
func decode(b []byte) (*image.YCbCr, error) {
	decoded, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	}
	size := decoded.Bounds().Size()
	bounds := image.Rectangle{Max: size}
	switch d := decoded.(type) {
	case *image.YCbCr:
		return d, nil
	case *image.Gray:
		m := &image.YCbCr{
			Y: d.Pix, YStride: d.Stride, CStride: (size.X + 1) / 2,
			SubsampleRatio: image.YCbCrSubsampleRatio420, Rect: bounds,
		}
		chroma := bytes.Repeat([]byte{neutral}, m.CStride*((size.Y+1)/2))
		m.Cb, m.Cr = chroma, bytes.Clone(chroma)
		return m, nil
	case *image.RGBA:
		m := image.NewYCbCr(bounds, image.YCbCrSubsampleRatio444)
		for y := range size.Y {
			for x := range size.X {
				p, at := d.Pix[d.PixOffset(x, y):], m.YOffset(x, y)
				m.Y[at], m.Cb[at], m.Cr[at] = color.RGBToYCbCr(p[0], p[1], p[2])
			}
		}
		return m, nil
	}
	return nil, fmt.Errorf("%w: %T", ErrSource, decoded)
}

// cell returns how many pixels one sample of chroma covers, across and down.
func cell(m *image.YCbCr) (across, down int) {
	switch m.SubsampleRatio {
	case image.YCbCrSubsampleRatio422:
		return 2, 1
	case image.YCbCrSubsampleRatio420:
		return 2, 2
	case image.YCbCrSubsampleRatio440:
		return 1, 2
	case image.YCbCrSubsampleRatio411:
		return 4, 1
	case image.YCbCrSubsampleRatio410:
		return 4, 2
	}
	return 1, 1
}
