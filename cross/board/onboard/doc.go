// Package onboard holds what runs on an emulated board itself: tests that are
// built for it, carried there and started by those of package board. They skip
// themselves anywhere else.
package onboard
