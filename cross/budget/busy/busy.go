// Package busy is the device under more violations than a road can have: a test
// that package budget carries to an emulated board, to measure its memory there.
package busy

import (
	"bytes"
	"image"
	"image/jpeg"
	"math/rand/v2"
)

// Picture returns one of the size that pictures of a road have, 81 kB.
func Picture() []byte {
	random := rand.New(rand.NewPCG(1, 2))
	m := image.NewGray(image.Rect(0, 0, 480, 360))
	for i := range m.Pix {
		m.Pix[i] = byte(random.Uint32())
	}
	var b bytes.Buffer
	jpeg.Encode(&b, m, &jpeg.Options{Quality: 60}) // into memory, a picture of that size
	return b.Bytes()
}
