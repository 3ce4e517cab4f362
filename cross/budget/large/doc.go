// Package large holds a test of the outbox in the address space of a 32-bit
// program, which package budget bounds.
package large
