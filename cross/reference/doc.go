// Package reference holds what this project does to what others do: the records to
// another library of COSE, the Fourier transform to two others.
//
// It is a module of its own, so that what only these tests need is neither in the
// module of the programs nor raises the version of anything that they link.
package reference
