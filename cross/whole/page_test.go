package whole

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// programs returns the folder of ciglio, ciglio-portal and ciglio-demo, which are
// made once, where and as the pages make them.
func programs(t *testing.T) string {
	t.Helper()
	folder, err := made()
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

var made = sync.OnceValues(func() (string, error) {
	root, err := filepath.Abs("../..")
	if err != nil {
		return "", err
	}
	c := exec.Command("make", "--no-print-directory", "programs")
	c.Dir, c.Env = root, outside(os.Environ())
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("make programs: %w\n%s", err, out)
	}
	return filepath.Join(root, "bin"), nil
})

// outside returns an environment without what a make around the test, or a setting
// of its own, puts into it.
func outside(environ []string) []string {
	return slices.DeleteFunc(environ, func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return strings.HasPrefix(name, "MAKE") || name == "MFLAGS" || strings.HasPrefix(name, "CIGLIO_")
	})
}

// A block is one of a page's: what is typed into one terminal.
type block struct {
	terminal string // "every" for what each begins with; "" for one that ends
	text     string
}

// blocks returns those of a page that are marked sh, in order.
func blocks(page string) []block {
	var all []block
	for _, m := range regexp.MustCompile("(?m)^```sh ?([a-z]*)\n((?s:.*?\n))```$").FindAllStringSubmatch(page, -1) {
		all = append(all, block{m[1], m[2]})
	}
	return all
}

// withFreePorts returns a page with another port in the place of each that it names,
// 8481 to 8489: one that is free now, so that a machine may do two pages at once.
func withFreePorts(t *testing.T, page string) string {
	t.Helper()
	named := regexp.MustCompile(`\b848[1-9]\b`)
	free := map[string]string{}
	for _, port := range named.FindAllString(page, -1) {
		if free[port] != "" {
			continue
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // when all are chosen, so that no two are one
		_, free[port], _ = net.SplitHostPort(l.Addr().String())
	}
	if len(free) == 0 {
		t.Fatal("the page names no port")
	}
	return named.ReplaceAllStringFunc(page, func(port string) string { return free[port] })
}

// A desk is a person with as many terminals as the page wants, and a home of
// their own.
type desk struct {
	*testing.T
	root, home string
	environ    []string
	begin      string // what each terminal begins with
	terminals  map[string]*terminal
}

// A terminal runs one block that stays.
type terminal struct {
	command *exec.Cmd
	out     *output
}

// newDesk returns one in front of a checkout.
func newDesk(t *testing.T) *desk {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{T: t, root: root, home: t.TempDir(), terminals: map[string]*terminal{}}
	d.environ = append(outside(os.Environ()), "HOME="+d.home)
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH"} { // which lie in the other home
		value, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		d.environ = append(d.environ, name+"="+strings.TrimSpace(string(value)))
	}
	t.Cleanup(func() {
		for name := range d.terminals {
			d.interrupt(name)
		}
	})
	return d
}

func (d *desk) shell(ctx context.Context, text string) *terminal {
	c := exec.CommandContext(ctx, "bash", "-e", "-c", d.begin+text)
	out := new(output)
	c.Dir, c.Env, c.Stdout, c.Stderr = d.root, d.environ, out, out
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = 10 * time.Second
	return &terminal{c, out}
}

// do types a block, and returns what came of one that ends within a while.
func (d *desk) do(b block, while time.Duration) string {
	d.Helper()
	switch b.terminal {
	case "every":
		d.begin = b.text
		return ""
	case "":
		ctx, cancel := context.WithTimeout(d.Context(), while)
		defer cancel()
		s := d.shell(ctx, b.text)
		if err := s.command.Run(); err != nil {
			d.tell()
			d.Fatalf("%v\n%s\n%s", err, b.text, s.out)
		}
		return s.out.String()
	}
	d.interrupt(b.terminal)
	s := d.shell(context.WithoutCancel(d.Context()), b.text)
	if err := s.command.Start(); err != nil {
		d.Fatal(err)
	}
	d.terminals[b.terminal] = s
	return ""
}

// interrupt presses Ctrl-C in a terminal.
func (d *desk) interrupt(name string) {
	s := d.terminals[name]
	if s == nil {
		return
	}
	delete(d.terminals, name)
	syscall.Kill(-s.command.Process.Pid, syscall.SIGINT)
	late := time.AfterFunc(time.Minute, func() { s.command.Cancel() })
	err := s.command.Wait()
	if !late.Stop() {
		d.Errorf("%s did not end: %v\n%s", name, err, s.out)
	}
}

// tell shows what the terminals show.
func (d *desk) tell() {
	for name, s := range d.terminals {
		d.Logf("%s:\n%s", name, s.out)
	}
}

// An output is written by a program and read by a test.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
