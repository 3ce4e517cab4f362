// Package whole tests the system from outside, with the programs as they are
// delivered. It holds nothing but tests.
package whole
