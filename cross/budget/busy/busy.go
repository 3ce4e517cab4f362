// Package busy is the device under more violations than a road can have: a test
// that package budget carries to an emulated board, to measure its memory there.
package busy
