// Package chain finds the vehicles of one pace in a Doppler signal: it joins spectra,
// lines and geometry, and tells which lines are one vehicle and who else was in the
// beam.
//
// A [Chain] takes samples and gives out each [Vehicle] that left, with what was
// measured of it and how many others shared the beam. Which measurements tell of one
// vehicle is a table of named rules (same.go); who ran beside it is counted in
// targets.go, and who has no track of its own is looked for in company.go. What several
// chains followed of one fast vehicle is joined in join.go. Package
// doppler runs chains at several paces and decides between them.
//
// A Chain has one user at a time.
package chain
