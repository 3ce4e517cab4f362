// Package lines finds the lines in the spectra of a Doppler signal and follows them
// from frame to frame. It knows nothing of roads: frequencies are in bins, times in
// frames, and what a line means is told elsewhere.
//
// A [Detector] knows the noise and the background of each bin and finds the [Peak]s
// above both. A [Follower] makes [Track]s of them, each a row of [Reading]s. A
// [Listener] hears what is too weak or fades too much to be followed: what stays at
// one frequency for 0.4 s stands out of the noise in the mean.
//
// Each has one user at a time, and allocates nothing once it is warm.
package lines
