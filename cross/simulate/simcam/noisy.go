package simcam

import (
	"bytes"
	"image"
	"image/jpeg"
	"math/rand/v2"
)

// Noise returns pictures of stripes under noise, each another: for tests that need
// a camera that lives and no road. They are grey, of JPEG quality 60.
func Noise(count, width, height int) [][]byte {
	random := rand.New(rand.NewPCG(1, 2))
	all := make([][]byte, count)
	for i := range all {
		m := image.NewGray(image.Rect(0, 0, width, height))
		for k := range m.Pix {
			m.Pix[k] = byte(k%7*8) + byte(random.Uint32()%220)
		}
		var b bytes.Buffer
		if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 60}); err != nil {
			panic(err) // into memory
		}
		all[i] = b.Bytes()
	}
	return all
}
