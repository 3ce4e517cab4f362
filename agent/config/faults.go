package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// A Fault is one value with which the device cannot work, or one key that there is
// not.
type Fault struct {
	Key   string `json:"key"`   // such as site.limit; empty where the file is no TOML
	Words string `json:"words"` // what is wrong, and what to write
}

func (f Fault) String() string {
	if f.Key == "" || strings.HasPrefix(f.Words, "unknown key ") {
		return f.Words
	}
	return f.Key + ": " + f.Words
}

// Faults are all that is wrong with a configuration, in the order of the file.
type Faults struct {
	File string // "" when it came from none
	All  []Fault
}

// Error names every fault, a line each.
func (f *Faults) Error() string {
	lines := make([]string, len(f.All))
	for i, one := range f.All {
		lines[i] = one.String()
		if f.File != "" {
			lines[i] = f.File + ": " + lines[i]
		}
	}
	return strings.Join(lines, "\n")
}

// Add notes a fault of a key that has none yet.
func (f *Faults) Add(key, words string) {
	if !slices.ContainsFunc(f.All, func(one Fault) bool { return one.Key == key }) {
		f.All = append(f.All, Fault{key, words})
	}
}

// err returns f, or nil when there is no fault.
func (f *Faults) err() error {
	if len(f.All) == 0 {
		return nil
	}
	return f
}

// decode reads a text over c. Each key that cannot be read, and each that is not
// known, is a fault; the others are set.
func (c *Config) decode(text []byte, faults *Faults) {
	var file map[string]toml.Primitive
	meta, err := toml.Decode(string(text), &file)
	if err != nil {
		faults.All = append(faults.All, Fault{"", err.Error()})
		return
	}
	sections := map[string]map[string]toml.Primitive{}
	for name, p := range file {
		keys := map[string]toml.Primitive{}
		if err := meta.PrimitiveDecode(p, &keys); err != nil {
			faults.Add(name, "unknown key "+name+": want it below a section, such as [site]")
			continue
		}
		sections[name] = keys
	}
	var known []string
	_ = c.each(func(section, key, _ string, v reflect.Value) error {
		full := section + "." + key
		known = append(known, full)
		p, ok := sections[section][key]
		if !ok {
			return nil
		}
		delete(sections[section], key)
		if err := decodeKey(meta, p, v); err != nil {
			faults.Add(full, err.Error())
		}
		return nil
	})
	for _, at := range meta.Keys() { // in the order of the file
		if len(at) != 2 {
			continue
		}
		if _, left := sections[at[0]][at[1]]; left {
			faults.Add(at.String(), unknown(at.String(), known))
		}
	}
}

// decodeKey reads one value. It refuses durations without unit, and numbers that
// this machine cuts off.
func decodeKey(meta toml.MetaData, p toml.Primitive, v reflect.Value) error {
	var raw any
	if err := meta.PrimitiveDecode(p, &raw); err != nil {
		return err
	}
	n, number := raw.(int64)
	switch v.Interface().(type) {
	case time.Duration:
		if number {
			return fmt.Errorf("%d: want a duration with its unit, such as 500us", n)
		}
	case int:
		if number && int64(int(n)) != n {
			return fmt.Errorf("%d: not a number in range", n)
		}
	}
	err := meta.PrimitiveDecode(p, v.Addr().Interface())
	var parse toml.ParseError
	if errors.As(err, &parse) {
		return errors.New(parse.Message)
	}
	return err
}

// unknown says that there is no such key, and which one is perhaps meant.
func unknown(key string, known []string) string {
	words := "unknown key " + key
	best, least := "", 3 // letters that may be wrong, swapped or missing
	for _, k := range known {
		if d := distance(strings.ToLower(key), k); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return words + ": ciglio config print shows those there are"
	}
	return words + ": is it " + best + "?"
}

// distance is how many letters must be put in, taken out or changed to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := before
			if a[i] != b[j] {
				change++
			}
			before = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
