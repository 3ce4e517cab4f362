package displacement

// A View maps places on the road to the picture, for whoever draws there. It never
// changes.
type View struct{ h homography }

// NewView returns the view of 4 or more marks that do not lie in a line.
func NewView(marks []Mark) (*View, error) {
	pairs := make([]pair, len(marks))
	for i, m := range marks {
		pairs[i] = m.pair()
	}
	h, err := fit(pairs)
	if err != nil {
		return nil, err
	}
	return &View{h}, nil
}

// Pixel returns where a place lies in the picture, in pixels from its left upper
// corner: metres ahead of the foot of the camera and to its right. It returns false
// for what lies behind the camera.
func (v *View) Pixel(along, across float64) (x, y float64, ok bool) { return v.h.pixel(along, across) }
