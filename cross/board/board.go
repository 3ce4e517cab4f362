// Package board runs a whole ARM board under emulation: Debian's kernel on
// QEMU's "virt" machine, a first process of our own, and whatever programs a
// test puts on it. Nothing of it needs root, KVM or a network.
//
// What the board has, and how a test reaches it:
//
//	processor, memory   two Cortex-A53, 512 MB or as asked for; 64-bit programs and 32-bit ones
//	programs, files     Options.Files puts them in; Board.Run and Board.Go start them
//	flash               Options.Disks, a virtio disk each, mounted where they say
//	trigger contact     /dev/gpiochip0 line 3: Board.Edge
//	radar               /dev/ttyS0: Board.Radar
//	USB                 Board.Plug, Board.Unplug
//	network             eth0: a program that connects to guest.HostAddress reaches what
//	                    listens on the host's loopback; Board.CutNetwork, Board.JoinNetwork
//	shared folder       Board.Share on the host is guest.Share on the board
//	supply              Board.Cut pulls the plug, Board.Shutdown is the orderly way
//
// What was written to a disk when the plug is pulled is in the hands of the
// host's page cache and so is kept; to lose what the board did not flush as
// well, give the disk block nodes of QEMU that log writes.
//
// A Board is safe for concurrent use. Everything is released by Close, and QEMU
// is killed by the kernel when the test's process dies.
package board

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"ciglio/cross/board/guest"
)

// Options say what a board is made of. The zero value is a 64-bit board with no
// disk and no program.
type Options struct {
	Arch   string // of the programs: "arm64", which "" means, or "arm-7", "arm-6"
	Memory int    // MB; 0 means 512

	Files map[string]string // files on the host by their place on the board; all are executable
	Texts map[string]string // the same, by their content
	Disks []Disk
	Share string // folder on the host that becomes guest.Share; "" means a new one, removed by Close

	LineNames []string // of gpiochip0, from line 0 on, as the device tree of a board has them; none means that it has none

	Commands     []guest.Command // started as soon as the board is ready; their IDs are set by Start
	Modules      []string        // kernel modules beside those of the devices above, with parameters: "vivid n_devs=1"
	Synchronised bool            // the kernel believes that a time daemon keeps UTC right to 1 ms
	KernelArgs   string          // appended to the kernel's command line
	QEMUArgs     []string        // appended to QEMU's command line, before the disks
	Log          io.Writer       // gets the console's lines as they come
}

// A Disk is a raw image, or a block node that QEMUArgs define. The board sees it
// with a write cache, so that what it does not flush may be lost.
type Disk struct {
	Image string // file
	Node  string // instead of Image: the name of a node from a -blockdev of QEMUArgs
	Mount string // where it is mounted; "" means not at all
	Type  string // of the file system; "" means ext4
	Data  string // its options, such as "commit=1"
}

// Errors with which a board ends.
var (
	ErrCut = errors.New("board: its power was cut")
	ErrOff = errors.New("board: it was switched off")
)

// A Board is one run of the machine, from power on to power off.
type Board struct {
	// Kernel is the version of its kernel.
	Kernel string
	// Ready is what /init found, and when by the board's own clock.
	Ready guest.Ready
	// Started is how long it took from power on until it was ready, by the
	// host's clock.
	Started time.Duration
	// Share is the shared folder on the host.
	Share string
	// Commands are the processes of Options.Commands.
	Commands []*Process

	dir     string
	console *console
	monitor *monitor
	radar   net.Conn
	channel net.Conn
	qemu    *exec.Cmd
	edges   sync.Mutex

	mu        sync.Mutex
	requests  *json.Encoder
	last      int // id of the newest process
	processes map[int]*Process
	plugged   int
	sticks    []*stick      // the newest last
	why       error         // of the end, once somebody has brought it about
	ready     chan struct{} // closed with the first event
	done      chan struct{} // closed when QEMU has ended
	readers   sync.WaitGroup
}

// Start switches a board on and returns when its first process has done its
// plan. When ctx ends before, the board is gone.
func Start(ctx context.Context, o Options) (_ *Board, err error) {
	kernel, err := FetchKernel(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "ciglio-board-")
	if err != nil {
		return nil, err
	}
	b := &Board{
		Kernel: kernel.Version, Share: o.Share, dir: dir, console: newConsole(o.Log),
		processes: map[int]*Process{}, ready: make(chan struct{}), done: make(chan struct{}),
	}
	defer func() {
		if err != nil {
			b.Close()
		}
	}()
	if b.Share == "" {
		b.Share = filepath.Join(dir, "share")
		if err := os.Mkdir(b.Share, 0o755); err != nil {
			return nil, err
		}
	}
	if err := b.initramfs(ctx, kernel, &o); err != nil {
		return nil, err
	}
	began := time.Now()
	if err := b.powerOn(ctx, kernel, o); err != nil {
		return nil, err
	}
	select {
	case <-b.ready:
	case <-b.done:
		return nil, fmt.Errorf("board: it never was ready: %w; its last words:\n%s", b.why, b.console.tail(20))
	case <-ctx.Done():
		return nil, fmt.Errorf("board: not ready: %w; its last words:\n%s", context.Cause(ctx), b.console.tail(20))
	}
	b.Started = time.Since(began)
	if len(b.Ready.Errors) > 0 {
		return nil, fmt.Errorf("board: /init: %s", strings.Join(b.Ready.Errors, "; "))
	}
	return b, b.monitor.do(ctx, "qmp_capabilities", nil)
}

// devices are the modules of what every board has.
func devices() []string {
	return []string{
		"virtio_blk", "virtio_net", "9pnet_virtio", "9p", "crc32c_generic", "ext4",
		"xhci_pci", "usb_storage", "sd_mod", "vfat", "exfat", "nls_cp437", "nls_ascii", "nls_utf8",
	}
}

// initramfs writes the board's initial file system.
func (b *Board) initramfs(ctx context.Context, kernel *Kernel, o *Options) error {
	program, err := Build(ctx, o.Arch, "ciglio/cross/board/init")
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(b.dir, "initramfs"))
	if err != nil {
		return err
	}
	defer f.Close()
	a := newArchive(f)
	a.device("/dev/console", 5, 1)
	a.file("/init", program)

	plan := guest.Plan{Synchronised: o.Synchronised}
	names := devices()
	params := map[string]string{"usb_storage": "delay_use=0"} // nobody's hand shakes here
	for _, m := range o.Modules {
		name, p, _ := strings.Cut(m, " ")
		names = append(names, name)
		params[moduleName(name)] = p
	}
	modules, err := kernel.Modules(ctx, names...)
	if err != nil {
		return err
	}
	for _, file := range modules {
		place := "/modules/" + filepath.Base(file)
		a.file(place, file)
		plan.Modules = append(plan.Modules, guest.Module{File: place, Params: params[moduleName(file)]})
	}
	for i, d := range o.Disks {
		if d.Mount != "" {
			plan.Mounts = append(plan.Mounts, guest.Mount{Disk: diskName(i), Type: cmp.Or(d.Type, "ext4"), Target: d.Mount, Data: d.Data})
		}
	}
	for _, c := range o.Commands {
		p := b.newProcess(&c)
		b.Commands = append(b.Commands, p)
		plan.Commands = append(plan.Commands, c)
	}
	for _, place := range slices.Sorted(maps.Keys(o.Files)) {
		a.file(place, o.Files[place])
	}
	for _, place := range slices.Sorted(maps.Keys(o.Texts)) {
		a.text(place, o.Texts[place])
	}
	text, err := json.Marshal(plan)
	if err != nil {
		return err
	}
	a.text(guest.PlanFile, string(text))
	return a.close()
}

func diskName(i int) string { return "disk" + strconv.Itoa(i) }

// powerOn starts QEMU, with a socket for each of its ends that we hold.
func (b *Board) powerOn(ctx context.Context, kernel *Kernel, o Options) error {
	var files []*os.File
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	machine := []string{"-machine", "virt,gic-version=2", "-cpu", "cortex-a53", "-smp", "2", "-m", strconv.Itoa(cmp.Or(o.Memory, 512))}
	args := append(slices.Clone(machine),
		"-no-user-config", "-nodefaults", "-display", "none", "-no-reboot",
		"-kernel", kernel.Image, "-initrd", filepath.Join(b.dir, "initramfs"),
		"-append", strings.TrimSpace("console=ttyAMA0 loglevel=4 panic=-1 "+o.KernelArgs),
	)
	if len(o.LineNames) > 0 {
		tree, err := b.nameLines(ctx, machine, o.LineNames)
		if err != nil {
			return err
		}
		args = append(args, "-dtb", tree)
	}
	chardev := func(id string) (net.Conn, error) {
		ours, theirs, err := socketPair(id)
		if err != nil {
			return nil, err
		}
		files = append(files, theirs)
		const first = 3 // of exec.Cmd.ExtraFiles
		args = append(args, "-chardev", fmt.Sprintf("socket,id=%s,fd=%d", id, first+len(files)-1))
		return ours, nil
	}
	console, err := chardev("console")
	if err != nil {
		return err
	}
	control, err := chardev("control")
	if err != nil {
		return err
	}
	if b.channel, err = chardev("channel"); err != nil {
		return err
	}
	if b.radar, err = chardev("radar"); err != nil {
		return err
	}
	b.requests = json.NewEncoder(b.channel)
	args = append(args,
		"-serial", "chardev:console",
		"-mon", "chardev=control,mode=control",
		"-device", "virtio-serial-pci", "-device", "virtserialport,chardev=channel,name="+guest.Port,
		"-device", "pci-serial,chardev=radar",
		"-device", "qemu-xhci,id=usb",
		"-netdev", "user,id=net,ipv6=off", "-device", "virtio-net-pci,netdev=net,id=nic,romfile=",
		"-fsdev", "local,id=share,security_model=none,multidevs=remap,path="+commas(b.Share), "-device", "virtio-9p-pci,fsdev=share,mount_tag=host",
	)
	args = append(args, o.QEMUArgs...)
	for i, d := range o.Disks {
		name, node := diskName(i), d.Node
		if node == "" {
			node = name
			args = append(args, "-blockdev", "driver=raw,node-name="+node+",file.driver=file,file.filename="+commas(d.Image))
		}
		args = append(args, "-device", "virtio-blk-pci,write-cache=on,serial="+name+",drive="+node)
	}

	var said bytes.Buffer
	b.qemu = exec.Command("qemu-system-aarch64", args...)
	b.qemu.ExtraFiles, b.qemu.Stdout, b.qemu.Stderr = files, &said, &said
	// A Ctrl-C at the terminal is for the test, which ends the board.
	b.qemu.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	b.monitor = newMonitor(control)
	b.readers.Go(func() {
		w := &lineWriter{c: b.console}
		io.Copy(w, console)
		w.Close()
		console.Close()
	})
	b.readers.Go(b.events)
	started := make(chan error)
	go b.run(&said, started)
	if err := <-started; err != nil {
		return fmt.Errorf("board: %w (Debian package qemu-system-arm)", err)
	}
	return nil
}

// run keeps to one thread from QEMU's start to its end: the kernel kills QEMU
// when the thread that started it ends.
func (b *Board) run(said *bytes.Buffer, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := b.qemu.Start()
	started <- err
	if err != nil {
		b.ended(err)
		return
	}
	b.qemu.Wait()    // says what ProcessState does
	b.readers.Wait() // what it said last
	b.ended(fmt.Errorf("QEMU ended: %v %s", b.qemu.ProcessState, bytes.TrimSpace(said.Bytes())))
}

// ended says that the board is no more.
func (b *Board) ended(because error) {
	b.because(because)
	b.mu.Lock()
	for _, p := range b.processes {
		p.end(guest.Exit{}, b.why)
	}
	b.mu.Unlock()
	b.console.end(b.why)
	close(b.done)
}

// because keeps the first reason for the end.
func (b *Board) because(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.why == nil {
		b.why = err
	}
}

// Wait returns the next line of the console with text in it, of those that no
// Wait has looked at before. One goroutine at a time may wait.
func (b *Board) Wait(ctx context.Context, text string) (string, error) {
	return b.console.wait(ctx, text)
}

// Console returns every line so far: the kernel's, those of /init, and those of
// the processes, each after the name of its program.
func (b *Board) Console() string { return b.console.text() }

// Done is closed when the board is off; Err then says why.
func (b *Board) Done() <-chan struct{} { return b.done }

// Err returns nil while the board runs, then why it ended: [ErrCut], [ErrOff],
// or what happened to QEMU.
func (b *Board) Err() error {
	select {
	case <-b.done:
		return b.why
	default:
		return nil
	}
}

// Radar returns the other end of the board's serial port /dev/ttyS0.
func (b *Board) Radar() net.Conn { return b.radar }

// Width of the pulse that [Board.Edge] gives, by the machine's own clock.
const Width = 100 * time.Millisecond

// Edge closes the trigger contact for [Width]: a rising edge on line 3 of
// gpiochip0 and then a falling one. It returns once the line has risen; a call
// within Width of the one before would see a contact that is closed already.
func (b *Board) Edge(ctx context.Context) error {
	b.edges.Lock()
	defer b.edges.Unlock()
	return b.monitor.do(ctx, "system_powerdown", nil)
}

// CutNetwork takes the board's network cable out. What is under way stays so,
// as on a line that is dead.
func (b *Board) CutNetwork(ctx context.Context) error { return b.setLink(ctx, false) }

// JoinNetwork puts the cable in again.
func (b *Board) JoinNetwork(ctx context.Context) error { return b.setLink(ctx, true) }

func (b *Board) setLink(ctx context.Context, up bool) error {
	return b.monitor.do(ctx, "set_link", map[string]any{"name": "nic", "up": up})
}

// Cut pulls the plug: QEMU is killed, and is gone when Cut returns.
func (b *Board) Cut() {
	b.because(ErrCut)
	if b.qemu != nil && b.qemu.Process != nil {
		b.qemu.Process.Kill() // it may have ended just now
		<-b.done
	}
}

// Shutdown ends every process with SIGTERM, unmounts the disks and switches off.
func (b *Board) Shutdown(ctx context.Context) error {
	b.because(ErrOff)
	if err := b.request(guest.Request{PowerOff: true}); err != nil {
		return err
	}
	select {
	case <-b.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("board: does not switch off: %w; its last words:\n%s", context.Cause(ctx), b.console.tail(20))
	}
}

// Close cuts the power if it is still on and removes what the board needed on
// the host, the shared folder too unless Options named it.
func (b *Board) Close() error {
	b.Cut()
	for _, c := range []net.Conn{b.radar, b.channel} {
		if c != nil {
			c.Close()
		}
	}
	return os.RemoveAll(b.dir)
}

// socketPair returns two ends of a connection, one of them to be inherited.
func socketPair(name string) (ours net.Conn, theirs *os.File, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("board: %s: %w", name, err)
	}
	theirs = os.NewFile(uintptr(fds[1]), name)
	f := os.NewFile(uintptr(fds[0]), name)
	defer f.Close()
	if ours, err = net.FileConn(f); err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("board: %s: %w", name, err)
	}
	return ours, theirs, nil
}

// commas writes a value for an option list of QEMU, in which a comma is doubled.
func commas(s string) string { return strings.ReplaceAll(s, ",", ",,") }
