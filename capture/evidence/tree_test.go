package evidence

import (
	"math"
	"slices"
	"testing"
)

// A node is one CBOR item that a test may spoil: anything can be written back,
// also what no list of fields would write.
type node struct {
	major byte
	n     uint64
	data  []byte  // of a byte string or text
	kids  []*node // of an array; of a map, keys and values in turn
	raw   []byte  // when not nil, written instead of all else
}

func parseTree(t testing.TB, b []byte) *node {
	v, rest := parseNode(t, b)
	if len(rest) != 0 {
		t.Fatalf("%d bytes after the tree", len(rest))
	}
	return v
}

func parseNode(t testing.TB, b []byte) (*node, []byte) {
	t.Helper()
	major, n, size, err := readHead(b)
	if err != nil {
		t.Fatal(err)
	}
	v, b := &node{major: major, n: n}, b[size:]
	switch major {
	case majorBytes, majorText:
		v.data, b = b[:n], b[n:]
	case majorArray, majorMap:
		for range n * uint64(major-majorArray+1) {
			var kid *node
			kid, b = parseNode(t, b)
			v.kids = append(v.kids, kid)
		}
	}
	return v, b
}

func (v *node) bytes() []byte {
	if v.raw != nil {
		return v.raw
	}
	switch v.major {
	case majorBytes, majorText:
		return append(appendHead(nil, v.major, uint64(len(v.data))), v.data...)
	case majorArray, majorMap:
		b := appendHead(nil, v.major, uint64(len(v.kids))/uint64(v.major-majorArray+1))
		for _, kid := range v.kids {
			b = append(b, kid.bytes()...)
		}
		return b
	}
	return appendHead(nil, v.major, v.n)
}

// at returns the value under the given keys of nested maps; a key of an array
// is an index.
func (v *node) at(keys ...uint64) *node {
	for _, k := range keys {
		if v.major == majorArray {
			v = v.kids[k]
			continue
		}
		v = v.kids[v.find(k)+1]
	}
	return v
}

func (v *node) find(key uint64) int {
	for i := 0; i < len(v.kids); i += 2 {
		if v.kids[i].n == key {
			return i
		}
	}
	panic("no such key")
}

func (v *node) remove(key uint64) {
	i := v.find(key)
	v.kids = slices.Delete(v.kids, i, i+2)
}

func (v *node) add(key uint64, value *node) { v.kids = append(v.kids, number(int64(key)), value) }

func number(n int64) *node {
	if n < 0 {
		return &node{major: majorNegative, n: uint64(-1 - n)}
	}
	return &node{n: uint64(n)}
}

func text(s string) *node    { return &node{major: majorText, data: []byte(s)} }
func bstr(b []byte) *node    { return &node{major: majorBytes, data: b} }
func raw(b ...byte) *node    { return &node{raw: b} }
func array(v ...*node) *node { return &node{major: majorArray, kids: v} }

// table returns a map with the keys 1, 2, 3 and so on.
func table(values ...*node) *node {
	v := &node{major: majorMap}
	for i, value := range values {
		v.add(uint64(i)+1, value)
	}
	return v
}

// wide writes the head of an item in the given number of extra bytes, which is
// more than it needs.
func wide(major byte, n uint64, width int) []byte {
	b := []byte{major<<5 | byte(24+slices.Index([]int{1, 2, 4, 8}, width))}
	for i := width - 1; i >= 0; i-- {
		b = append(b, byte(n>>(8*i)))
	}
	return b
}

// indefinite writes the items of a map or array without saying how many.
func (v *node) indefinite() []byte {
	b := []byte{v.major<<5 | 31}
	for _, kid := range v.kids {
		b = append(b, kid.bytes()...)
	}
	return append(b, 0xff)
}

const beyond = math.MaxInt64 + 1
