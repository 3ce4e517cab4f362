// Package port gives the machine's serial ports and input lines to drivers, in
// the terms of periph: a [Port] is a [uart.PortCloser], a [Pin] is a
// [gpio.PinIn]. Drivers take the connection or the edges, never a device name.
//
// # Serial ports
//
// A port is opened for one owner: a second one, also of another program that
// asks politely (TIOCEXCL, flock), gets [ErrBusy]. Its line is raw: no echo, no
// translation, no software flow control. What [Port.Connect] sets it reads back;
// a driver of the kernel that cannot do it gives an error, and a speed more than
// 2 % off counts as one that it cannot do.
//
// A byte that came with a wrong parity or stop bit, and a break, is read as a
// byte 0 (INPCK without IGNPAR and PARMRK). So the length of a frame stays as it
// was sent, no line of text survives and no check sum holds. Marking such bytes
// instead (PARMRK) would double every byte 0xFF of binary frames, to say nothing
// that the frame's own check does not. [Conn.LineErrors] counts them where the
// kernel's driver does.
//
// Every method may be called while another one blocks. Close ends a Read at
// once. A port whose device has gone, such as an unplugged USB adapter, gives
// [ErrUnplugged] for good: open it anew.
//
// # Input lines
//
// A [Pin] is a line of a GPIO character device of version 2 (Linux 5.10 or
// newer). Its edges carry the timestamp that the kernel took in the interrupt,
// on CLOCK_MONOTONIC, and are counted by the kernel's sequence number, so that a
// lost one is known: see [Pin.Next]. The kernel keeps up to 1024 edges that this
// program has not fetched, and this program as many again.
//
// Nothing in this package drives, reads or asks the level of a line that is an
// output, or turns one into an input: before a line is asked for, the kernel's
// own notes on it must say that it is an input that nobody uses.
//
// A chip that is unplugged while a line is watched, such as one on USB, is not
// noticed: contacts that measure belong on the board's own lines.
package port
