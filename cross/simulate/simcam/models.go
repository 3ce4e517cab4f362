package simcam

// The skins of the three classes, in metres. Each end is painted as it is seen
// from its own side.

const seam = 0.012 // m: gaps between panels

var (
	black  = colour{26, 27, 29}
	window = colour{26, 32, 38}
	inside = colour{52, 54, 56}
	chrome = colour{188, 192, 198}
	lens0  = colour{206, 214, 220}
	lampOn = colour{255, 255, 246}
	red    = colour{176, 22, 26}
	redLit = colour{230, 52, 44}
	amber  = colour{222, 130, 36}
)

// people paints the seats behind a windscreen, and a driver as a shape without
// a face. Seen from the front the driver sits on the right.
func people(k *canvas, middle, z, size float64) {
	for _, side := range []float64{-1, 1} {
		x := middle + side*0.36*size
		k.round(inside, glass, x-0.24*size, z-0.12*size, x+0.24*size, z+0.16*size, 0.1*size)
		k.round(inside, glass, x-0.11*size, z+0.14*size, x+0.11*size, z+0.32*size, 0.06*size)
	}
	x := middle + 0.36*size
	shape := colour{74, 72, 74}
	k.round(shape, glass, x-0.20*size, z-0.14*size, x+0.20*size, z+0.10*size, 0.09*size)
	k.disc(shape.scale(1.12), glass, x, z+0.22*size, 0.09*size)
	k.line(colour{16, 17, 18}, glass, 0.03*size, x-0.18*size, z-0.08*size, x, z+0.0*size, x+0.18*size, z-0.08*size)
}

func carFront(c colour) *skin {
	k := newCanvas(1.8, 1.48, pixelsPerMetre, c, enamel)
	const m = 0.9
	// Glass, with the roof's edge and the pillars left in paint.
	k.poly(window, glass, m-0.74, 0.985, m+0.74, 0.985, m+0.62, 1.37, m+0.45, 1.398, m-0.45, 1.398, m-0.62, 1.37)
	people(k, m, 1.07, 0.85)
	k.round(black, glass, m-0.10, 1.335, m+0.10, 1.39, 0.02)
	k.line(black, dull, 0.02, m-0.55, 0.985, m-0.05, 1.0)
	k.line(black, dull, 0.02, m+0.05, 0.985, m+0.52, 1.0)
	// Bonnet's edge, grille, badge.
	k.line(c.scale(0.45), dull, seam, m-0.80, 0.735, m-0.45, 0.70, m+0.45, 0.70, m+0.80, 0.735)
	k.poly(black, dull, m-0.44, 0.66, m+0.44, 0.66, m+0.36, 0.545, m-0.36, 0.545)
	for z := 0.57; z < 0.65; z += 0.026 {
		k.rect(colour{74, 77, 82}, 50, m-0.40, z, m+0.40, z+0.008)
	}
	k.line(chrome, 120, 0.012, m-0.44, 0.664, m+0.44, 0.664)
	k.disc(chrome, 140, m, 0.612, 0.042)
	k.disc(colour{70, 74, 82}, 80, m, 0.612, 0.03)
	// Bumper: plate's place, lower intake, fog lamps.
	k.round(c.scale(0.80), dull, m-0.31, 0.37, m+0.31, 0.51, 0.02)
	k.poly(black, dull, m-0.66, 0.335, m+0.66, 0.335, m+0.56, 0.225, m-0.56, 0.225)
	for z := 0.25; z < 0.33; z += 0.03 {
		k.rect(colour{58, 60, 64}, dull, m-0.58, z, m+0.58, z+0.008)
	}
	k.rect(black, dull, 0, 0, 1.8, 0.215)
	both(m, func(at func(float64) float64) {
		k.poly(black, dull, at(0.58), 0.46, at(0.80), 0.48, at(0.82), 0.37, at(0.62), 0.35)
		k.disc(lens0, 120, at(0.71), 0.41, 0.042)
		// Headlamp: housing, lens, the strip of daytime light.
		k.poly(colour{48, 52, 58}, glass, at(0.46), 0.645, at(0.56), 0.575, at(0.82), 0.60, at(0.86), 0.69, at(0.80), 0.725, at(0.62), 0.70)
		k.disc(colour{120, 128, 136}, 140, at(0.625), 0.635, 0.05)
		k.disc(lampOn, lit, at(0.625), 0.635, 0.036)
		k.disc(colour{120, 128, 136}, 140, at(0.755), 0.66, 0.046)
		k.disc(lens0, 160, at(0.755), 0.66, 0.034)
		k.line(lampOn, lit, 0.016, at(0.55), 0.588, at(0.80), 0.612, at(0.838), 0.68)
	})
	return k.skin()
}

func carRear(c colour) *skin {
	k := newCanvas(1.8, 1.48, pixelsPerMetre, c, enamel)
	const m = 0.9
	k.poly(window, glass, m-0.70, 1.03, m+0.70, 1.03, m+0.60, 1.335, m+0.44, 1.362, m-0.44, 1.362, m-0.60, 1.335)
	for _, side := range []float64{-1, 1} {
		k.round(inside, glass, m+side*0.32-0.12, 1.04, m+side*0.32+0.12, 1.20, 0.05)
	}
	k.line(black, dull, 0.018, m, 1.035, m+0.34, 1.10)
	k.round(red, enamel, m-0.14, 1.385, m+0.14, 1.41, 0.01)
	k.line(c.scale(0.42), dull, seam, m-0.72, 1.02, m-0.66, 0.56, m+0.66, 0.56, m+0.72, 1.02)
	k.round(c.scale(0.62), dull, m-0.33, 0.59, m+0.33, 0.735, 0.02)
	k.round(chrome, 130, m-0.30, 0.745, m+0.30, 0.765, 0.008)
	k.disc(chrome, 140, m, 0.87, 0.04)
	k.poly(black, dull, m-0.80, 0.36, m+0.80, 0.36, m+0.74, 0.22, m-0.74, 0.22)
	k.rect(black, dull, 0, 0, 1.8, 0.225)
	both(m, func(at func(float64) float64) {
		k.poly(red, 120, at(0.52), 0.80, at(0.60), 0.93, at(0.86), 0.96, at(0.88), 0.78, at(0.70), 0.75)
		k.poly(redLit, 120, at(0.60), 0.815, at(0.64), 0.90, at(0.84), 0.925, at(0.85), 0.80, at(0.72), 0.775)
		k.poly(colour{214, 196, 190}, 120, at(0.54), 0.795, at(0.585), 0.86, at(0.62), 0.86, at(0.60), 0.785)
		k.poly(amber, 120, at(0.84), 0.80, at(0.845), 0.92, at(0.89), 0.93, at(0.89), 0.80)
		k.rect(red, 60, at(0.56), 0.40, at(0.74), 0.425)
		k.round(colour{120, 122, 126}, 80, min(at(0.42), at(0.56)), 0.235, max(at(0.42), at(0.56)), 0.285, 0.02)
	})
	return k.skin()
}

func carSide(c colour) *skin {
	k := newCanvas(4.3, 1.48, pixelsPerMetre, c, enamel)
	k.poly(black, side, 1.34, 0.955, 1.98, 1.385, 2.5, 1.425, 3.2, 1.40, 3.62, 1.30, 3.92, 1.02, 3.80, 0.955)
	k.poly(window, side, 1.50, 0.975, 2.02, 1.35, 2.50, 1.39, 2.62, 1.385, 2.66, 0.97)
	k.poly(window, side, 2.76, 0.97, 2.72, 1.385, 3.18, 1.365, 3.48, 1.28, 3.50, 0.98)
	k.poly(window, side, 3.58, 0.99, 3.57, 1.24, 3.80, 1.03, 3.74, 0.985)
	dark := c.scale(0.45)
	k.line(dark, dull, seam, 1.36, 0.95, 1.30, 0.30, 2.66, 0.26)
	k.line(dark, dull, seam, 2.70, 0.95, 2.70, 0.26, 3.10, 0.28, 3.50, 0.74, 3.53, 0.95)
	k.line(dark, dull, seam*0.8, 0.62, 0.80, 1.34, 0.92)
	k.line(c.mix(colour{255, 255, 255}, 0.16), enamel, 0.03, 0.9, 0.765, 3.9, 0.80)
	k.line(c.scale(0.72), enamel, 0.035, 0.9, 0.735, 3.9, 0.77)
	k.round(c.scale(0.72), 120, 2.40, 0.83, 2.62, 0.865, 0.016)
	k.round(c.scale(0.72), 120, 3.24, 0.85, 3.46, 0.885, 0.016)
	k.rect(black, dull, 0, 0, 4.3, 0.245)
	for _, x := range []float64{0.86, 3.46} {
		k.disc(c.scale(0.66), enamel, x, 0.335, 0.405)
		k.disc(black.scale(0.6), dull, x, 0.33, 0.385)
	}
	k.poly(colour{48, 52, 58}, glass, 0.05, 0.60, 0.30, 0.62, 0.34, 0.71, 0.10, 0.70)
	k.poly(red, 120, 4.02, 0.79, 4.30, 0.78, 4.30, 0.95, 4.14, 0.94)
	return k.skin()
}

func vanFront(c colour) *skin {
	k := newCanvas(2.0, 2.4, pixelsPerMetre, c, enamel)
	const m = 1.0
	k.poly(window, glass, m-0.84, 1.33, m+0.84, 1.33, m+0.74, 2.12, m+0.55, 2.17, m-0.55, 2.17, m-0.74, 2.12)
	people(k, m, 1.52, 1.05)
	k.line(black, dull, 0.024, m-0.7, 1.345, m-0.1, 1.37)
	k.line(black, dull, 0.024, m+0.0, 1.345, m+0.6, 1.37)
	k.poly(black, dull, m-0.56, 1.02, m+0.56, 1.02, m+0.48, 0.80, m-0.48, 0.80)
	for z := 0.83; z < 1.0; z += 0.045 {
		k.rect(colour{84, 88, 92}, 60, m-0.52, z, m+0.52, z+0.014)
	}
	k.disc(chrome, 140, m, 0.91, 0.065)
	k.round(colour{52, 54, 58}, 30, m-0.92, 0.28, m+0.92, 0.68, 0.08)
	k.round(black, dull, m-0.60, 0.32, m+0.60, 0.46, 0.03)
	k.rect(black, dull, 0, 0, 2, 0.28)
	both(m, func(at func(float64) float64) {
		k.poly(colour{52, 56, 62}, glass, at(0.60), 0.80, at(0.93), 0.84, at(0.94), 1.10, at(0.72), 1.06, at(0.61), 0.98)
		k.disc(colour{124, 130, 138}, 140, at(0.75), 0.92, 0.07)
		k.disc(lampOn, lit, at(0.75), 0.92, 0.05)
		k.disc(lens0, 160, at(0.87), 0.98, 0.045)
		k.line(lampOn, lit, 0.018, at(0.64), 0.825, at(0.89), 0.855)
		k.disc(lens0, 120, at(0.78), 0.42, 0.05)
	})
	return k.skin()
}

func vanRear(c colour) *skin {
	k := newCanvas(2.0, 2.4, pixelsPerMetre, c, enamel)
	const m = 1.0
	both(m, func(at func(float64) float64) {
		k.poly(window, glass, at(0.08), 1.42, at(0.76), 1.42, at(0.70), 2.05, at(0.08), 2.08)
		k.line(c.scale(0.42), dull, seam, at(0.86), 0.46, at(0.86), 2.20, at(0.03), 2.24)
		k.poly(red, 120, at(0.88), 0.86, at(0.985), 0.86, at(0.975), 1.40, at(0.90), 1.40)
		k.poly(redLit, 120, at(0.895), 1.10, at(0.975), 1.10, at(0.97), 1.32, at(0.905), 1.32)
		k.rect(amber, 110, at(0.89), 0.98, at(0.98), 1.06)
		k.rect(colour{216, 212, 206}, 110, at(0.89), 0.90, at(0.98), 0.97)
	})
	k.line(c.scale(0.30), dull, seam*1.6, m, 0.46, m, 2.24)
	k.round(black, 60, m+0.05, 1.0, m+0.10, 1.20, 0.02)
	k.round(c.scale(0.62), dull, m-0.33, 0.67, m+0.33, 0.81, 0.02)
	k.round(colour{52, 54, 58}, 30, m-0.96, 0.30, m+0.96, 0.46, 0.05)
	k.rect(black, dull, 0, 0, 2, 0.30)
	k.round(red, enamel, m-0.2, 2.27, m+0.2, 2.30, 0.01)
	return k.skin()
}

func vanSide(c colour) *skin {
	k := newCanvas(5.6, 2.4, pixelsPerMetre/2, c, enamel)
	k.poly(window, side, 1.05, 1.36, 1.62, 2.08, 2.10, 2.12, 2.10, 1.34)
	dark := c.scale(0.5)
	k.line(dark, dull, 0.016, 1.0, 1.28, 0.98, 0.5, 2.18, 0.42, 2.18, 2.22)
	k.line(dark, dull, 0.016, 2.3, 0.42, 2.3, 2.22, 3.6, 2.24, 3.6, 0.42)
	k.line(dark, dull, 0.02, 2.3, 1.30, 5.5, 1.32)
	k.round(black, 60, 1.98, 1.12, 2.14, 1.18, 0.02)
	k.rect(colour{52, 54, 58}, 30, 0.2, 0.24, 5.5, 0.46)
	for _, x := range []float64{0.95, 4.45} {
		k.disc(black, dull, x, 0.37, 0.45)
	}
	return k.skin()
}

func truckFront(c colour) *skin {
	k := newCanvas(2.5, 3.4, pixelsPerMetre/2, c, enamel)
	const m = 1.25
	k.poly(window, glass, m-1.10, 1.66, m+1.10, 1.66, m+1.04, 2.48, m-1.04, 2.48)
	people(k, m, 1.84, 1.35)
	k.rect(black, 40, m-1.08, 2.50, m+1.08, 2.58)
	k.round(black, dull, m-0.86, 0.98, m+0.86, 1.50, 0.05)
	for z := 1.04; z < 1.48; z += 0.09 {
		k.rect(colour{86, 90, 96}, 60, m-0.82, z, m+0.82, z+0.03)
	}
	k.round(colour{58, 60, 64}, 30, m-1.2, 0.44, m+1.2, 0.90, 0.05)
	both(m, func(at func(float64) float64) {
		k.poly(colour{60, 64, 70}, glass, at(0.72), 0.66, at(1.14), 0.68, at(1.16), 0.88, at(0.74), 0.86)
		k.disc(lampOn, lit, at(0.84), 0.76, 0.06)
		k.disc(lens0, 150, at(1.0), 0.775, 0.06)
		k.rect(amber, 110, at(1.09), 0.70, at(1.14), 0.86)
	})
	return k.skin()
}

func truckRear(c colour) *skin {
	k := newCanvas(2.5, 3.4, pixelsPerMetre/2, c, 24)
	const m = 1.25
	k.rect(black, dull, 0, 0, 2.5, 1.0)
	k.line(c.scale(0.45), dull, 0.03, m, 1.05, m, 3.34)
	both(m, func(at func(float64) float64) {
		k.line(c.scale(0.6), dull, 0.035, at(0.45), 1.06, at(0.45), 3.32)
		k.line(c.scale(0.6), dull, 0.035, at(0.95), 1.06, at(0.95), 3.32)
		k.line(c.scale(0.55), dull, 0.03, at(1.2), 1.06, at(1.2), 3.34)
		k.rect(red, 110, at(0.72), 0.70, at(1.14), 0.84)
		k.rect(redLit, 110, at(0.96), 0.72, at(1.12), 0.82)
		k.rect(amber, 110, at(0.74), 0.72, at(0.84), 0.82)
		for z := 1.08; z < 3.3; z += 0.30 { // reflecting contour
			k.rect(colour{226, 60, 48}, 60, at(1.17), z, at(1.22), z+0.16)
		}
	})
	k.rect(colour{90, 92, 96}, 40, m-1.15, 0.48, m+1.15, 0.60)
	for x := 0.1; x < 2.3; x += 0.3 {
		k.rect(colour{226, 60, 48}, 60, x, 1.03, x+0.16, 1.08)
	}
	return k.skin()
}

func truckSide(c colour) *skin {
	k := newCanvas(9.5, 3.4, pixelsPerMetre/4, c, enamel)
	k.poly(window, side, 0.30, 1.70, 0.36, 2.46, 1.30, 2.46, 1.30, 1.66)
	k.line(c.scale(0.5), dull, 0.03, 0.25, 2.6, 0.25, 0.9, 1.42, 0.9, 1.42, 2.6)
	k.disc(black, dull, 1.25, 0.55, 0.62)
	return k.skin()
}

func truckLoad(c colour) *skin {
	k := newCanvas(9.5, 3.4, pixelsPerMetre/4, c, 20)
	for x := 2.3; x < 9.5; x += 0.6 {
		k.line(c.scale(0.86), dull, 0.03, x, 1.1, x, 3.3)
	}
	k.rect(colour{44, 96, 128}, 30, 2.2, 1.55, 9.5, 1.85)
	k.rect(colour{90, 92, 96}, 30, 2.15, 1.02, 9.5, 1.10)
	return k.skin()
}
