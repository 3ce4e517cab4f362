package config

import (
	"reflect"
	"slices"
	"strings"

	"ciglio/internal/strict"
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
	file, err := strict.Open(string(text))
	if err != nil {
		faults.All = append(faults.All, Fault{"", err.Error()})
		return
	}
	for _, name := range file.Loose() {
		faults.Add(name, "unknown key "+name+": want it below a section, such as [site]")
	}
	var known []string
	_ = c.each(func(section, key, _ string, v reflect.Value) error {
		full := section + "." + key
		known = append(known, full)
		if _, err := file.Key(section, key, v.Addr().Interface()); err != nil {
			faults.Add(full, err.Error())
		}
		return nil
	})
	for _, key := range file.Left() {
		faults.Add(key, unknown(key, known))
	}
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
