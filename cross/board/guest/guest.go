// Package guest is what a board and its first process agree on: the plan that
// /init finds at its start, and the messages of the control channel after it.
//
// The channel is a virtio serial port. Each message is one JSON object: requests
// go to the board, events come from it, each way in order. Output of a process
// comes before its end.
package guest

import "time"

const (
	PlanFile = "/board.json" // the Plan, inside of the board
	Port     = "board"       // name of the virtio serial port
	Share    = "/host"       // where the folder shared with the host is mounted

	// HostAddress is where a program on the board reaches what listens on the
	// loopback address of the host, at the same port.
	HostAddress = "10.0.2.2"
	Address     = "10.0.2.15" // the board's own address
)

// A Plan says what /init does before it asks for anything.
type Plan struct {
	Modules      []Module
	Mounts       []Mount
	Synchronised bool      // tell the kernel over and over that UTC is right to 1 ms
	Commands     []Command // started as soon as the board is ready
}

// A Module is a kernel module to load; those it needs come before it.
type Module struct {
	File   string
	Params string // as on the command line of modprobe
}

// A Mount is a file system of a disk.
type Mount struct {
	Disk   string // serial number of the disk
	Type   string // of the file system, such as ext4
	Target string // folder, made when it does not exist
	Data   string // options of the file system, such as commit=1
}

// A Command is a process to start. Its environment is PATH, HOME and Env.
type Command struct {
	ID   int // chosen by who asks, once in the life of a board
	Args []string
	Env  []string
	Dir  string // "" is /
}

// A Request asks for one thing: the one that is not its zero value.
type Request struct {
	Start    *Command `json:",omitempty"`
	Signal   *Signal  `json:",omitempty"`
	PowerOff bool     `json:",omitempty"` // in good order: SIGTERM, unmount, off
}

// A Signal goes to a process that was started.
type Signal struct {
	ID     int
	Number int
}

// An Event tells one thing.
type Event struct {
	Ready *Ready `json:",omitempty"` // the first event
	ID    int    `json:",omitempty"` // the process of what follows

	Stdout []byte `json:",omitempty"`
	Stderr []byte `json:",omitempty"`
	Exit   *Exit  `json:",omitempty"`
}

// Ready says that the plan is done and what was found on the way.
type Ready struct {
	Kernel string
	Uptime time.Duration // since the kernel started
	Errors []string      // a module that did not load, a disk that did not mount
}

// An Exit is the end of a process.
type Exit struct {
	Code   int           // exit code; -1 when a signal ended it, or it never started
	Signal int           // the signal that ended it
	Error  string        // why it never started
	User   time.Duration // processor time
	System time.Duration
	RSS    int64 // largest resident memory, bytes
}
