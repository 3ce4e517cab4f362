// Package spectrum finds the power of frames of a Doppler signal over the frequency,
// and the frequency of a line as exactly as its noise allows.
//
// A [Spectrum] is that of a frame under a Hann window, a [Refiner] the frequency of
// one line in it: within 1.3 times the Cramér-Rao bound, which its tests show, with
// lines whose frequency changes within the frame. A [Decimator] makes long frames
// affordable. A [Balance] makes I and Q alike by what strong lines show at their mirror
// frequency. Nothing here knows of vehicles.
//
// Each has one user at a time, and allocates nothing once it is warm.
package spectrum
