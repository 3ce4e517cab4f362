package simcam

import (
	"image"
	"math"
	"time"

	"ciglio/cross/simulate"
)

// Plate returns the number plate of a vehicle, such as "QO 417 IU". It has the
// form of an Italian one, but its letters are I, O, Q and U, which no Italian
// plate has: it belongs to nobody.
func Plate(p simulate.Position) string {
	const letters = "IOQU"
	key := uint32(p.Index)*2654435761 ^ uint32(p.Passing/time.Millisecond)
	draw := func(n int, of string) byte { return of[int(hash(int32(n), 77, key)*float64(len(of)))] }
	return string([]byte{
		draw(0, letters), draw(1, letters), ' ',
		draw(2, "0123456789"), draw(3, "0123456789"), draw(4, "0123456789"), ' ',
		draw(5, letters), draw(6, letters),
	})
}

// plateScale is the detail of a plate in pixels a metre.
const plateScale = 800

// paintPlate paints a plate of 520 by 110 mm.
func paintPlate(text string) *image.RGBA {
	k := newCanvas(0.52, 0.11, plateScale, colour{60, 62, 64}, dull)
	k.round(colour{238, 238, 234}, dull, 0.004, 0.004, 0.516, 0.106, 0.008)
	blue := colour{30, 64, 152}
	k.rect(blue, dull, 0.006, 0.006, 0.048, 0.104)
	k.rect(blue, dull, 0.472, 0.006, 0.514, 0.104)
	const pitch = 0.046
	x := 0.26 - pitch*float64(len(text))/2
	for _, c := range text {
		k.letter(colour{22, 23, 26}, c, x+0.006, 0.019, 0.034, 0.072, 0.0105)
		x += pitch
	}
	return k.m
}

// strokes are letters and digits as lines on a grid of 4 by 6, from the lower
// left; a pair of digits is a place, a space lifts the pen.
var strokes = map[rune]string{
	'A': "00 26 40 . 12 32", 'C': "45 36 16 05 01 10 30 41", 'D': "00 06 26 45 41 20 00", 'E': "40 00 06 46 . 03 33", 'I': "20 26 . 10 30 . 16 36",
	'L': "06 00 40", 'M': "00 06 23 46 40", 'O': "10 01 05 16 36 45 41 30 10", 'Q': "10 01 05 16 36 45 41 30 10 . 22 40",
	'S': "45 36 16 05 04 13 33 42 41 30 10 01", 'T': "06 46 . 26 20", 'U': "06 01 10 30 41 46",
	'0': "10 01 05 16 36 45 41 30 10", '1': "05 26 20", '2': "05 16 36 45 44 00 40", '3': "05 16 36 45 44 33 13 . 33 42 41 30 10 01",
	'4': "30 36 02 42", '5': "46 06 03 33 42 41 30 10 01", '6': "45 36 16 05 01 10 30 41 42 33 13 02", '7': "06 46 10",
	'8': "13 04 05 16 36 45 44 33 13 02 01 10 30 41 42 33", '9': "01 10 30 41 45 36 16 05 04 13 33 44",
	':': "21 21 . 24 24", '.': "20 20",
}

// letter draws one character with its lower left corner at x, z.
func (k *canvas) letter(c colour, r rune, x, z, width, height, pen float64) {
	var at []float64
	flush := func() {
		if len(at) == 4 && at[0] == at[2] && at[1] == at[3] {
			k.disc(c, dull, at[0], at[1], pen*0.75)
		} else if len(at) >= 4 {
			k.line(c, dull, pen, at...)
		}
		at = at[:0]
	}
	s := strokes[r]
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ' ':
		case '.':
			flush()
		default:
			at = append(at, x+float64(s[i]-'0')/4*width, z+float64(s[i+1]-'0')/6*height)
			i++
		}
	}
	flush()
}

// caption writes a line in the lower left corner of the picture and returns the
// part that it changed.
func caption(m *image.RGBA, text string) image.Rectangle {
	const pitch, height, pen, left, low = 12.0, 14.0, 2.0, 16.0, 16.0
	box := image.Rect(int(left-8), Height-int(low+height+8), int(left+pitch*float64(len(text))+6), Height-int(low-8))
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			set(m, x, y, get(m, x, y).scale(0.45))
		}
	}
	k := &canvas{m, 1, Height}
	for i, r := range text {
		k.letter(colour{240, 240, 236}, r, left+pitch*float64(i), low, 8, height, pen)
	}
	// The pen's gloss has no meaning in a picture.
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			m.Pix[m.PixOffset(x, y)+3] = math.MaxUint8
		}
	}
	return box
}
