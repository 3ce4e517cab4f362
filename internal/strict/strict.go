// Package strict reads TOML files in which every key must be known and every
// value has its unit.
//
// What it keeps true: a key that nobody asks for is an error and never passed
// over, and so is one in other letters than the known ones; a number with a unit
// is read exactly or not at all; an error is one line that names the key or the
// line of the file.
//
// [Decode] stops at the first fault. A [File] is read key by key, so that every
// fault of it can be told at once.
package strict

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// Keys are those of a file that was read.
type Keys struct{ meta toml.MetaData }

// Has reports whether a key, given by its sections and name, is in the file.
func (k Keys) Has(key ...string) bool { return k.meta.IsDefined(key...) }

// Decode reads a text into v, as github.com/BurntSushi/toml does.
func Decode(text string, v any) (Keys, error) {
	meta, err := toml.Decode(text, v)
	if err != nil {
		return Keys{}, plain(err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return Keys{}, fmt.Errorf("unknown key %s", unknown[0])
	}
	for _, key := range meta.Keys() {
		// The decoder takes Not_After for not_after, and of two either.
		if k := key.String(); k != strings.ToLower(k) {
			return Keys{}, fmt.Errorf("unknown key %s", k)
		}
	}
	return Keys{meta}, nil
}

// Known reads into v what it has a place for, and passes over the rest: for what
// was written by us, then or later.
func Known(text string, v any) error {
	_, err := toml.Decode(text, v)
	return err
}

// plain puts a message of the decoder on one line.
func plain(err error) error {
	var p toml.ParseError
	if errors.As(err, &p) && p.Position.Line > 0 {
		return fmt.Errorf("line %d: %s", p.Position.Line, strings.TrimPrefix(p.Message, "toml: "))
	}
	return errors.New(strings.TrimPrefix(err.Error(), "toml: "))
}

// A File is a text of sections with keys.
type File struct {
	meta     toml.MetaData
	sections map[string]map[string]toml.Primitive
	loose    []string
}

// Open reads a text whose values are looked at later.
func Open(text string) (*File, error) {
	var tables map[string]toml.Primitive
	meta, err := toml.Decode(text, &tables)
	if err != nil {
		return nil, err
	}
	f := &File{meta: meta, sections: map[string]map[string]toml.Primitive{}}
	for _, at := range meta.Keys() { // in the order of the file
		if len(at) != 1 {
			continue
		}
		name, keys := at[0], map[string]toml.Primitive{}
		var raw any
		if meta.PrimitiveDecode(tables[name], &raw) != nil {
			raw = nil
		}
		// The decoder itself makes an empty table of a number.
		if _, table := raw.(map[string]any); !table || meta.PrimitiveDecode(tables[name], &keys) != nil {
			f.loose = append(f.loose, name)
			continue
		}
		f.sections[name] = keys
	}
	return f, nil
}

// Loose returns the keys that stand outside of any section, in the order of the
// file.
func (f *File) Loose() []string { return f.loose }

// Key reads the value of a key into v, a pointer, and reports whether it is there. It
// refuses durations without their unit, and numbers that this machine cuts off.
func (f *File) Key(section, key string, v any) (there bool, err error) {
	p, there := f.sections[section][key]
	if !there {
		return false, nil
	}
	delete(f.sections[section], key)
	var raw any
	if err := f.meta.PrimitiveDecode(p, &raw); err != nil {
		return true, err
	}
	n, number := raw.(int64)
	switch v.(type) {
	case *time.Duration:
		if number {
			return true, fmt.Errorf("%d: want a duration with its unit, such as 500us", n)
		}
	case *int:
		if number && int64(int(n)) != n {
			return true, fmt.Errorf("%d: not a number in range", n)
		}
	}
	err = f.meta.PrimitiveDecode(p, v)
	var parse toml.ParseError
	if errors.As(err, &parse) {
		return true, errors.New(parse.Message)
	}
	return true, err
}

// Left returns the keys that nobody asked for, as section.key, in the order of
// the file.
func (f *File) Left() []string {
	var left []string
	for _, at := range f.meta.Keys() {
		if len(at) == 2 {
			if _, there := f.sections[at[0]][at[1]]; there {
				left = append(left, at.String())
			}
		}
	}
	return left
}
