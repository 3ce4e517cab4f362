//go:build linux

package port

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"periph.io/x/conn/v3/uart"
	"periph.io/x/conn/v3/uart/uartreg"
)

// Listed is one serial port of this machine.
type Listed struct {
	Name  string   // of its device file, such as "ttyUSB0"
	Path  string   // of its device file
	Links []string // that lead there and stay the same when adapters change places
}

// List returns the serial ports that are there now, by name: terminals with
// hardware behind them.
func List() ([]Listed, error) { return list("/") }

func list(root string) ([]Listed, error) {
	entries, err := os.ReadDir(filepath.Join(root, "sys/class/tty"))
	if err != nil {
		return nil, err
	}
	links := map[string][]string{}
	byID := filepath.Join(root, "dev/serial/by-id")
	names, _ := os.ReadDir(byID) // not there without adapters
	for _, e := range names {
		link := filepath.Join(byID, e.Name())
		if target, err := os.Readlink(link); err == nil {
			links[filepath.Base(target)] = append(links[filepath.Base(target)], link)
		}
	}
	var ports []Listed
	for _, e := range entries {
		dir := filepath.Join(root, "sys/class/tty", e.Name())
		if _, err := os.Stat(filepath.Join(dir, "device")); err != nil {
			continue // a console or pseudo-terminal
		}
		// The kernel makes ttyS0 to ttyS3 also where there is no chip: type 0.
		if kind, err := os.ReadFile(filepath.Join(dir, "type")); err == nil && strings.TrimSpace(string(kind)) == "0" {
			continue
		}
		ports = append(ports, Listed{e.Name(), filepath.Join(root, "dev", e.Name()), links[e.Name()]})
	}
	return ports, nil
}

// RegisterAll makes the ports of [List] known to [uartreg], by name and under
// their paths as aliases. Those that it knows already stay as they are.
func RegisterAll() error {
	ports, err := List()
	if err != nil {
		return err
	}
	return register(ports)
}

func register(ports []Listed) error {
	known := uartreg.All()
	for _, l := range ports {
		if slices.ContainsFunc(known, func(r *uartreg.Ref) bool { return r.Name == l.Name }) {
			continue
		}
		aliases := []string{l.Path}
		for _, link := range l.Links {
			if !strings.Contains(link, ":") { // the registry has another use for it
				aliases = append(aliases, link)
			}
		}
		err := uartreg.Register(l.Name, aliases, -1, func() (uart.PortCloser, error) {
			p, err := Open(l.Path)
			if err != nil {
				return nil, err // not a *Port that is nil
			}
			return p, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
