// Package emulator answers as the sensors do, for tests of their drivers: over a
// pseudo-terminal of package pty, or a net.Pipe in a synctest bubble.
//
// Each emulator has a method Serve, which answers commands until its connection
// fails, and Report, which sends what the sensor would say of a cycle. Report and
// what sends other bytes may be called while Serve runs. The emulators of other
// makers' sensors share no code with the drivers, so that a mistake in one shows.
package emulator
