//go:build linux

package v4l2

import (
	"bytes"
	"image"
	"image/jpeg"
)

// A Format is how a camera gives its pictures.
type Format string

// The formats. Values of raw ones are taken as they are: they are stored as the
// Y, Cb and Cr of the JPEG without a conversion, also where the camera does not
// use their whole range.
const (
	MJPEG Format = "mjpeg" // JPEG, kept byte by byte
	YUYV  Format = "yuyv"  // raw, 2 bytes a pixel: Y0 Cb Y1 Cr
	UYVY  Format = "uyvy"  // raw, 2 bytes a pixel: Cb Y0 Cr Y1
	GREY  Format = "grey"  // raw, 1 byte a pixel: Y
)

// Formats returns all of them.
func Formats() []Format { return []Format{MJPEG, YUYV, UYVY, GREY} }

// Raw reports whether pictures of this format are compressed here.
func (f Format) Raw() bool { return f != MJPEG }

// mediaType is that of the frames: of raw formats it says what they were.
func (f Format) mediaType() string {
	if f.Raw() {
		return "image/jpeg;source=" + string(f)
	}
	return "image/jpeg"
}

// code returns the kernel's code of the format, V4L2_PIX_FMT_, and 0 for none.
func (f Format) code() uint32 {
	four := f.four()
	if four == "" {
		return 0
	}
	return uint32(four[0]) | uint32(four[1])<<8 | uint32(four[2])<<16 | uint32(four[3])<<24
}

// four returns the kernel's four letters for the format, "" for none.
func (f Format) four() string {
	return map[Format]string{MJPEG: "MJPG", YUYV: "YUYV", UYVY: "UYVY", GREY: "GREY"}[f]
}

// line returns the bytes of one line of a raw picture.
func (f Format) line(width int) int {
	if f == GREY {
		return width
	}
	return 2 * width
}

// quality of the JPEG that is made of a raw picture, of 100.
const quality = 90

// A compressor makes JPEGs of raw pictures. It keeps its memory from one to the
// next.
type compressor struct {
	format        Format
	width, height int
	stride        int // bytes from one line to the next

	grey  image.Gray
	color image.YCbCr
	out   bytes.Buffer
}

func newCompressor(f Format, width, height, stride int) *compressor {
	c := &compressor{format: f, width: width, height: height, stride: stride}
	if f == GREY {
		c.grey = *image.NewGray(image.Rect(0, 0, width, height))
	} else {
		c.color = *image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio422)
	}
	return c
}

// need returns the bytes of a whole raw picture.
func (c *compressor) need() int { return c.stride*(c.height-1) + c.format.line(c.width) }

// take copies a raw picture of at least need bytes.
func (c *compressor) take(raw []byte) {
	for y := range c.height {
		line := raw[y*c.stride:][:c.format.line(c.width)]
		if c.format == GREY {
			copy(c.grey.Pix[y*c.grey.Stride:], line)
			continue
		}
		luma := c.color.Y[y*c.color.YStride:][:c.width]
		cb := c.color.Cb[y*c.color.CStride:][:c.width/2]
		cr := c.color.Cr[y*c.color.CStride:][:c.width/2]
		if c.format == UYVY {
			for i := range cb {
				p := line[4*i:][:4]
				cb[i], luma[2*i], cr[i], luma[2*i+1] = p[0], p[1], p[2], p[3]
			}
			continue
		}
		for i := range cb {
			p := line[4*i:][:4]
			luma[2*i], cb[i], luma[2*i+1], cr[i] = p[0], p[1], p[2], p[3]
		}
	}
}

// compress returns the picture last taken. It is valid until the next call.
func (c *compressor) compress() ([]byte, error) {
	var m image.Image = &c.color
	if c.format == GREY {
		m = &c.grey
	}
	c.out.Reset()
	err := jpeg.Encode(&c.out, m, &jpeg.Options{Quality: quality})
	return c.out.Bytes(), err
}
