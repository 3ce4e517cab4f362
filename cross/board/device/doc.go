// Package device holds the tests of the whole device on an emulated board:
// ciglio run from a configuration file, with its real drivers, from the radar's
// bytes to the receipt of a centre outside of the board.
//
// What stands for the road is of software. The radar is the emulated OPS243 of
// package emulator, on the board's serial port. The contacts are lines of the
// board's GPIO controller, whose levels the test sets. The camera is vivid, a
// driver of the kernel that draws its pictures; it stamps them as a real one does
// and calls itself a simulation, so that every record of a vehicle is of kind
// test. The board has no time daemon: its first process tells the kernel that UTC,
// which it took from the host, is right to 1 ms. TestStory sets that UTC, and the
// clock of its centre with it, to come to a midnight.
package device
