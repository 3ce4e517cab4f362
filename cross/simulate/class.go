package simulate

import (
	"fmt"
	"slices"
)

// Class is a kind of vehicle. It decides the size, the axles and how the body
// reflects.
type Class uint8

// The classes.
const (
	Car Class = iota
	Van
	Truck      // rigid, two axles
	Lorry      // tractor with a semi-trailer, five axles
	Bus        // three axles
	Motorcycle // with its rider
	Bicycle    // with its rider
)

// A kind is what there is to know of a class. Lengths are in metres, places
// count from the front backwards.
type kind struct {
	name                  string
	length, width, height float64
	axles                 []float64 // places of the axles, in order
	wheel                 float64   // radius of a wheel
	reflection            float64   // of the near end, in dB against a car's
	body                  []centre  // further scattering centres
}

// centre is a place of a body that reflects: the share of the body's length
// beyond its near end, and its strength against the near end in dB.
type centre struct{ place, level float64 }

// kinds are typical European vehicles.
var kinds = [...]kind{
	Car:   {"car", 4.3, 1.8, 1.48, []float64{0.86, 3.46}, 0.32, 0, nil},
	Van:   {"van", 5.6, 2.0, 2.4, []float64{0.95, 4.45}, 0.35, 2, nil},
	Truck: {"truck", 9.5, 2.5, 3.4, []float64{1.25, 7.3}, 0.5, 5, nil},
	Lorry: {"lorry", 16.5, 2.55, 4, []float64{1.4, 5.2, 11, 12.3, 13.6}, 0.5, 7,
		[]centre{{0.16, -9}, {0.45, -15}, {0.75, -12}, {0.97, -16}}},
	Bus: {"bus", 12, 2.55, 3.2, []float64{2.7, 8.6, 10}, 0.48, 6,
		[]centre{{0.35, -14}, {0.7, -14}, {0.95, -17}}},
	Motorcycle: {"motorcycle", 2.2, 0.8, 1.6, []float64{0.35, 1.8}, 0.31, -8, nil},
	Bicycle:    {"bicycle", 1.8, 0.6, 1.75, []float64{0.35, 1.4}, 0.34, -12, nil},
}

// Classes returns every class.
func Classes() []Class {
	all := make([]Class, len(kinds))
	for i := range all {
		all[i] = Class(i)
	}
	return all
}

// String returns the name of the class in scenario files, such as "car".
func (c Class) String() string {
	if int(c) >= len(kinds) {
		return fmt.Sprintf("class %d", uint8(c))
	}
	return kinds[c].name
}

// UnmarshalText reads the form of [Class.String].
func (c *Class) UnmarshalText(text []byte) error {
	for i, k := range kinds {
		if k.name == string(text) {
			*c = Class(i)
			return nil
		}
	}
	return fmt.Errorf("class %q: want car, van, truck, lorry, bus, motorcycle or bicycle", text)
}

// Size returns the length, width and height of a vehicle of this class, in
// metres.
func (c Class) Size() (length, width, height float64) {
	k := &kinds[c]
	return k.length, k.width, k.height
}

// Axles returns how far each axle lies behind the front, in metres, the first
// axle first.
func (c Class) Axles() []float64 { return slices.Clone(kinds[c].axles) }
