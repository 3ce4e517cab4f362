//go:build linux

// Init is the first process of an emulated board: it mounts what is needed,
// loads the modules of its plan, brings the network up, and then starts and
// reaps the processes that the host asks for over the control channel.
//
// It must not end: the kernel would panic. Whatever goes wrong is reported and
// the rest goes on, so that a test sees why.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"ciglio/cross/board/guest"
)

// patience bounds the wait for a device that the kernel is still setting up.
const patience = 10 * time.Second

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "init: the first process of an emulated board, and nothing else")
		os.Exit(2)
	}
	os.Setenv("PATH", "/bin") // of the commands, too
	var problems []string
	try := func(what string, err error) {
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v", what, err))
			fmt.Fprintf(os.Stderr, "init: %s: %v\n", what, err)
		}
	}
	try("system", mountSystem())
	plan, err := readPlan()
	try("plan", err)
	for _, m := range plan.Modules {
		try(m.File, load(m))
	}
	try("share", mount("host", guest.Share, "9p", 0, "trans=virtio,version=9p2000.L,cache=mmap,msize=262144"))
	for _, m := range plan.Mounts {
		try("disk "+m.Disk, mountDisk(m))
	}
	try("network", network())
	if plan.Synchronised {
		try("clock", synchronise())
		go func() {
			for range time.Tick(time.Second) {
				synchronise()
			}
		}()
	}

	channel, err := openChannel()
	if err != nil {
		try("control channel", err)
		powerOff(plan)
	}
	s := newSupervisor(json.NewEncoder(channel))
	s.tell(guest.Event{Ready: &guest.Ready{Kernel: kernel(), Uptime: uptime(), Errors: problems}})
	for _, c := range plan.Commands {
		s.start(c)
	}
	serve(s, json.NewDecoder(channel))
	s.end()
	powerOff(plan)
}

// serve does what the host asks until it asks for the end.
func serve(s *supervisor, requests *json.Decoder) {
	for {
		var r guest.Request
		if err := requests.Decode(&r); err != nil {
			fmt.Fprintf(os.Stderr, "init: control channel: %v\n", err)
			return
		}
		switch {
		case r.Start != nil:
			s.start(*r.Start)
		case r.Signal != nil:
			s.signal(r.Signal.ID, syscall.Signal(r.Signal.Number))
		case r.PowerOff:
			return
		}
	}
}

func mountSystem() error {
	var all error
	for _, m := range []struct{ source, target, kind, data string }{
		{"proc", "/proc", "proc", ""},
		{"sysfs", "/sys", "sysfs", ""},
		{"devtmpfs", "/dev", "devtmpfs", ""},
		{"tmpfs", "/tmp", "tmpfs", "mode=1777"},
		{"tmpfs", "/run", "tmpfs", "mode=0755"},
		{"tracefs", "/sys/kernel/tracing", "tracefs", ""},
	} {
		if err := mount(m.source, m.target, m.kind, 0, m.data); err != nil {
			all = errors.Join(all, fmt.Errorf("%s: %w", m.target, err))
		}
	}
	return all
}

func mount(source, target, kind string, flags uintptr, data string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	return syscall.Mount(source, target, kind, flags, data)
}

func readPlan() (guest.Plan, error) {
	var plan guest.Plan
	text, err := os.ReadFile(guest.PlanFile)
	if err == nil {
		err = json.Unmarshal(text, &plan)
	}
	return plan, err
}

// mountDisk finds the disk by its serial number: the order in which the kernel
// finds disks is its own.
func mountDisk(m guest.Mount) error {
	name, err := find("/sys/block", "serial", m.Disk)
	if err != nil {
		return err
	}
	return mount("/dev/"+name, m.Target, m.Type, syscall.MS_NOATIME, m.Data)
}

// openChannel opens the port of the host, which its name tells.
func openChannel() (*os.File, error) {
	name, err := find("/sys/class/virtio-ports", "name", guest.Port)
	if err != nil {
		return nil, err
	}
	return os.OpenFile("/dev/"+name, os.O_RDWR, 0)
}

// find returns the device of a class whose attribute has the given value, once
// it is there.
func find(class, attribute, value string) (string, error) {
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		devices, _ := os.ReadDir(class)
		for _, d := range devices {
			text, _ := os.ReadFile(class + "/" + d.Name() + "/" + attribute)
			if strings.TrimSpace(string(text)) == value {
				return d.Name(), nil
			}
		}
		if time.Now().After(end) {
			return "", fmt.Errorf("no device with %s %q in %s after %v", attribute, value, class, patience)
		}
	}
}

func kernel() string {
	text, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(text))
}

func uptime() time.Duration {
	text, _ := os.ReadFile("/proc/uptime")
	seconds, _, _ := strings.Cut(string(text), " ")
	d, _ := time.ParseDuration(seconds + "s")
	return d
}

// powerOff leaves no file system in use behind, and does not return.
func powerOff(plan guest.Plan) {
	for _, m := range plan.Mounts {
		if err := syscall.Unmount(m.Target, 0); err != nil {
			fmt.Fprintf(os.Stderr, "init: unmount %s: %v\n", m.Target, err)
		}
	}
	syscall.Sync()
	err := syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
	fmt.Fprintf(os.Stderr, "init: power off: %v\n", err)
	select {}
}
