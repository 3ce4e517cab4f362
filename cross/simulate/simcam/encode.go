package simcam

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/jpeg"
)

// A picture is encoded in tiles of 20 by 1 blocks of 16 by 16 pixels, each by
// image/jpeg, and put together as one picture with a restart interval of 20
// blocks. A tile without a vehicle keeps the bytes it has in the empty scene, so
// that a picture costs what its vehicles cover and not what the landscape does.
const (
	tileWidth  = 320
	tileHeight = 16
	tilesX     = Width / tileWidth
	tilesY     = (Height + tileHeight - 1) / tileHeight
	quality    = 78
)

type encoder struct {
	header []byte
	still  [tilesX * tilesY][]byte // scan of each tile of the empty scene
	fresh  [tilesX * tilesY]bool
	tile   *image.RGBA
	buffer bytes.Buffer
	out    []byte
}

func newEncoder(scene *image.RGBA) *encoder {
	e := &encoder{tile: image.NewRGBA(image.Rect(0, 0, tileWidth, tileHeight))}
	for i := range e.still {
		header, scan := e.encodeTile(scene, i)
		if i == 0 {
			e.header = wholeHeader(header)
		}
		e.still[i] = bytes.Clone(scan)
	}
	return e
}

// encode returns the picture. Outside of the rectangles it equals the scene.
func (e *encoder) encode(picture *image.RGBA, changed []image.Rectangle) []byte {
	clear(e.fresh[:])
	for _, r := range changed {
		r = r.Intersect(picture.Rect)
		if r.Empty() {
			continue
		}
		for y := r.Min.Y / tileHeight; y <= (r.Max.Y-1)/tileHeight; y++ {
			for x := r.Min.X / tileWidth; x <= (r.Max.X-1)/tileWidth; x++ {
				e.fresh[y*tilesX+x] = true
			}
		}
	}
	e.out = append(e.out[:0], e.header...)
	for i, still := range e.still {
		if i > 0 {
			e.out = append(e.out, 0xFF, 0xD0+byte(i-1)%8)
		}
		if e.fresh[i] {
			_, still = e.encodeTile(picture, i)
		}
		e.out = append(e.out, still...)
	}
	e.out = append(e.out, 0xFF, 0xD9)
	return e.out
}

// encodeTile encodes one tile and returns its header, which ends before the
// scan's, and the scan.
func (e *encoder) encodeTile(picture *image.RGBA, index int) (header, scan []byte) {
	r := image.Rect(0, 0, tileWidth, tileHeight).Add(image.Pt(index%tilesX*tileWidth, index/tilesX*tileHeight))
	r = r.Intersect(picture.Rect)
	// A view at the origin, since image/jpeg is fastest on an *image.RGBA.
	e.tile.Pix = picture.Pix[picture.PixOffset(r.Min.X, r.Min.Y):]
	e.tile.Stride = picture.Stride
	e.tile.Rect = image.Rect(0, 0, r.Dx(), r.Dy())
	e.buffer.Reset()
	if err := jpeg.Encode(&e.buffer, e.tile, &jpeg.Options{Quality: quality}); err != nil {
		panic(err) // a buffer takes all that is written
	}
	b := e.buffer.Bytes()
	at := 2
	for b[at+1] != 0xDA {
		at += 2 + int(binary.BigEndian.Uint16(b[at+2:]))
	}
	begin := at + 2 + int(binary.BigEndian.Uint16(b[at+2:]))
	return b[:begin], b[begin : len(b)-2]
}

// wholeHeader turns the header of a tile into that of the picture: its size in
// the frame header, and the restart interval before the scan.
func wholeHeader(tile []byte) []byte {
	out := append([]byte(nil), tile[:2]...)
	for at := 2; at < len(tile); {
		length := 2 + int(binary.BigEndian.Uint16(tile[at+2:]))
		segment := bytes.Clone(tile[at : at+length])
		switch segment[1] {
		case 0xC0:
			binary.BigEndian.PutUint16(segment[5:], Height)
			binary.BigEndian.PutUint16(segment[7:], Width)
		case 0xDA:
			out = append(out, 0xFF, 0xDD, 0, 4, 0, tileWidth/16)
		}
		out = append(out, segment...)
		at += length
	}
	return out
}
