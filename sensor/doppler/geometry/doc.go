// Package geometry tells what the fall of a frequency says of the vehicle whose line
// it is: that it passed, when, how far aside, and how fast it went. It is provable by
// truth: the readings of a way that is known must give its speed, which its tests show.
//
// A vehicle with the speed v that passes d aside, x before its closest point, shows
// v·x/√(x²+d²) towards the sensor. A [Gauge] takes the [lines.Reading]s of one
// track, finds the closest point where they fall like that (gauge.go), the zone in
// which the angle hardly matters (zone.go), the one geometry that explains them, if
// there is one (fit.go), and whether the vehicle held its speed (change.go). What a
// narrow beam lost before its frequency fell is judged in slant.go, and what went
// over from one vehicle's line to another's in jump.go. The result is a [Measurement].
//
// A Gauge has one user at a time.
package geometry
