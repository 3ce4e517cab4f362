package outbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
)

// This file reads bbolt files without bbolt: with positioned reads, never
// through a mapping, and checking each number before it is used. It serves where
// bbolt cannot: on a file that may be damaged, on which bbolt may recurse until
// the stack ends or fault in a goroutine of its own, and on a file that another
// process is writing.
//
// Numbers in a bbolt file have the byte order of the machine. A page is 4096
// bytes or several times that: id (8), flags (2), count (2), overflow (4), then
// count elements of 16 bytes, then keys and values.

const (
	pageSize   = 4096
	pageHead   = 16
	elemSize   = 16
	bucketHead = 16 // root page (8) and sequence (8) before an inline page
	maxDepth   = 24 // of pages in a bucket
	maxBuckets = 3  // of buckets in buckets

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10
	noFreelist   = ^uint64(0)
	bucketLeaf   = 1
)

var native = binary.NativeEndian

// meta is the content of a bbolt meta page.
type meta struct {
	root, freelist, pages, tx uint64
}

func parseMeta(b []byte) (meta, error) {
	if m, v, p := native.Uint32(b), native.Uint32(b[4:]), native.Uint32(b[8:]); m != 0xED0CDAED || v != 2 || p != pageSize {
		return meta{}, fmt.Errorf("meta page has magic %08x, version %d, page size %d", m, v, p)
	}
	h := fnv.New64a()
	h.Write(b[:56])
	if h.Sum64() != native.Uint64(b[56:]) {
		return meta{}, errors.New("meta page fails its checksum")
	}
	return meta{
		root: native.Uint64(b[16:]), freelist: native.Uint64(b[32:]),
		pages: native.Uint64(b[40:]), tx: native.Uint64(b[48:]),
	}, nil
}

// pageFile is a bbolt file as one of its meta pages describes it.
type pageFile struct {
	r    io.ReaderAt
	size int64
	meta meta
	// whole is false when one of the two meta pages is unreadable: the newest
	// transaction may then be one that was confirmed and is gone.
	whole bool
}

// openPages reads the meta pages of a file of the given size.
func openPages(r io.ReaderAt, size int64) (*pageFile, error) {
	var b [2 * pageSize]byte
	if size < 4*pageSize {
		return nil, fmt.Errorf("%d bytes, too short for a bbolt file", size)
	}
	if _, err := r.ReadAt(b[:], 0); err != nil {
		return nil, err
	}
	m0, err0 := parseMeta(b[pageHead : pageHead+64])
	m1, err1 := parseMeta(b[pageSize+pageHead : pageSize+pageHead+64])
	p := &pageFile{r: r, size: size, meta: m0, whole: err0 == nil && err1 == nil}
	switch {
	case err0 != nil && err1 != nil:
		return nil, err0
	case err0 != nil || err1 == nil && m1.tx > m0.tx:
		p.meta = m1
	}
	if p.meta.pages < 4 || p.meta.pages > uint64(size/pageSize) {
		return nil, fmt.Errorf("%d pages in a file of %d bytes", p.meta.pages, size)
	}
	return p, nil
}

// page is a page, or the page within an inline bucket.
type page struct {
	f           *pageFile // nil for an inline page, whose head is all of it
	id          uint64
	size        int64
	flags       uint16
	count, over int
	head        []byte // its first 4096 bytes
}

func (f *pageFile) page(id uint64) (*page, error) {
	if id < 2 || id >= f.meta.pages {
		return nil, fmt.Errorf("page %d of %d", id, f.meta.pages)
	}
	p := &page{f: f, id: id, head: make([]byte, pageSize)}
	if _, err := f.r.ReadAt(p.head, int64(id)*pageSize); err != nil {
		return nil, err
	}
	if self := native.Uint64(p.head); self != id {
		return nil, fmt.Errorf("page %d says it is page %d", id, self)
	}
	over := uint64(native.Uint32(p.head[12:]))
	if over >= f.meta.pages-id {
		return nil, fmt.Errorf("page %d with %d more of %d", id, over, f.meta.pages)
	}
	p.over = int(over)
	p.size = int64(p.over+1) * pageSize
	return p, p.parse()
}

// inline reads the page in the value of an inline bucket.
func inline(value []byte) (*page, error) {
	if len(value) < bucketHead+pageHead {
		return nil, fmt.Errorf("inline bucket of %d bytes", len(value))
	}
	p := &page{head: value[bucketHead:]}
	p.size = int64(len(p.head))
	if err := p.parse(); err != nil {
		return nil, err
	}
	if p.flags != leafPage {
		return nil, fmt.Errorf("inline bucket has a page of type %02x", p.flags)
	}
	return p, nil
}

func (p *page) parse() error {
	p.flags, p.count = native.Uint16(p.head[8:]), int(native.Uint16(p.head[10:]))
	if p.flags != freelistPage && int64(pageHead+p.count*elemSize) > p.size {
		return fmt.Errorf("page %d of %d bytes with %d elements", p.id, p.size, p.count)
	}
	return nil
}

// bytes returns n bytes of the page from off, which are within it.
func (p *page) bytes(off, n int64) ([]byte, error) {
	if end := off + n; end <= int64(len(p.head)) {
		return p.head[off:end], nil
	}
	b := make([]byte, n)
	_, err := p.f.r.ReadAt(b, int64(p.id)*pageSize+off)
	return b, err
}

// element is one element of a leaf or branch page.
type element struct {
	flags  uint32
	child  uint64 // page, in a branch
	at     int64  // of the key in the page; the value follows
	kn, vn int64
}

func (p *page) element(i int) (element, error) {
	at := int64(pageHead + i*elemSize)
	b, err := p.bytes(at, elemSize)
	if err != nil {
		return element{}, err
	}
	var e element
	if p.flags == branchPage {
		e = element{at: at + int64(native.Uint32(b)), kn: int64(native.Uint32(b[4:])), child: native.Uint64(b[8:])}
	} else {
		e = element{flags: native.Uint32(b), at: at + int64(native.Uint32(b[4:])), kn: int64(native.Uint32(b[8:])), vn: int64(native.Uint32(b[12:]))}
	}
	if e.kn == 0 || e.at < int64(pageHead+p.count*elemSize) || e.at+e.kn+e.vn > p.size {
		return element{}, fmt.Errorf("page %d element %d: key of %d and value of %d bytes at %d of %d", p.id, i, e.kn, e.vn, e.at, p.size)
	}
	return e, nil
}

func (p *page) key(e element) ([]byte, error)   { return p.bytes(e.at, e.kn) }
func (p *page) value(e element) ([]byte, error) { return p.bytes(e.at+e.kn, e.vn) }

// bucket returns the root page of the bucket that is the value of an element.
func (f *pageFile) bucket(p *page, e element) (*page, error) {
	if e.flags != bucketLeaf {
		return nil, fmt.Errorf("page %d: a value where a bucket should be", p.id)
	}
	v, err := p.value(e)
	if err != nil {
		return nil, err
	}
	if len(v) < bucketHead {
		return nil, fmt.Errorf("page %d: bucket of %d bytes", p.id, len(v))
	}
	if root := native.Uint64(v); root != 0 {
		return f.page(root)
	}
	return inline(v)
}

// find goes from p down to a leaf: in each page to the element that pick chooses
// among count, count > 0. It returns a nil page when the leaf is empty or pick
// returns -1.
func (f *pageFile) find(p *page, pick func(p *page) (int, error)) (*page, element, error) {
	for range maxDepth {
		if err := p.inTree(); err != nil {
			return nil, element{}, err
		}
		if p.count == 0 {
			return nil, element{}, nil
		}
		i, err := pick(p)
		if err != nil || i < 0 {
			return nil, element{}, err
		}
		e, err := p.element(i)
		if err != nil || p.flags == leafPage {
			return p, e, err
		}
		if p, err = f.page(e.child); err != nil {
			return nil, element{}, err
		}
	}
	return nil, element{}, fmt.Errorf("a tree deeper than %d", maxDepth)
}

func (p *page) inTree() error {
	if p.flags != leafPage && p.flags != branchPage {
		return fmt.Errorf("page %d of type %02x in a tree", p.id, p.flags)
	}
	if p.flags == branchPage && p.count == 0 {
		return fmt.Errorf("page %d: an empty branch", p.id)
	}
	return nil
}

func first(*page) (int, error)  { return 0, nil }
func last(p *page) (int, error) { return p.count - 1, nil }

// exactly picks the way to key: in a branch the last element whose key is not
// greater, in a leaf the element itself.
func exactly(key []byte) func(*page) (int, error) {
	return func(p *page) (int, error) {
		lo, hi := 0, p.count // the first element whose key is greater
		for lo < hi {
			mid := (lo + hi) / 2
			e, err := p.element(mid)
			if err != nil {
				return 0, err
			}
			k, err := p.key(e)
			if err != nil {
				return 0, err
			}
			switch c := bytes.Compare(k, key); {
			case c > 0:
				hi = mid
			case c < 0:
				lo = mid + 1
			default:
				return mid, nil
			}
		}
		if p.flags == leafPage {
			return -1, nil
		}
		return max(lo-1, 0), nil
	}
}

// open returns the root page of a bucket of the file, nil when there is none.
func (f *pageFile) open(path ...[]byte) (*page, error) {
	p, err := f.page(f.meta.root)
	for i := 0; i < len(path) && err == nil; i++ {
		var leaf *page
		var e element
		if leaf, e, err = f.find(p, exactly(path[i])); err != nil || leaf == nil {
			return nil, err
		}
		p, err = f.bucket(leaf, e)
	}
	return p, err
}

// value implements tree.
func (f *pageFile) value(key []byte, path ...[]byte) ([]byte, error) {
	root, err := f.open(path...)
	if err != nil || root == nil {
		return nil, err
	}
	leaf, e, err := f.find(root, exactly(key))
	if err != nil || leaf == nil || e.flags == bucketLeaf {
		return nil, err
	}
	return leaf.value(e)
}

// each calls do for each element of a bucket in the order of keys; leaf is where
// it lies. A bucket that does not exist has none.
func (f *pageFile) each(do func(leaf *page, e element, key []byte) error, path ...[]byte) error {
	root, err := f.open(path...)
	if err != nil || root == nil {
		return err
	}
	return f.walk(root, newPageSet(f.meta.pages), func(p *page, e element) error {
		k, err := p.key(e)
		if err != nil {
			return err
		}
		return do(p, e, k)
	})
}

// attempts is how often a moment is looked for in which the writer is still.
const attempts = 100

// readPages runs fn on a file of which another process may write new versions
// meanwhile. The pages of the newest version are not touched before the one
// after the next is written; so what fn has read stands if by then the newest
// version is still the same one. Otherwise fn runs again.
func readPages(path string, fn func(*pageFile) error) error {
	// Opening a named pipe would wait for whoever writes into it.
	if st, err := os.Stat(path); err != nil {
		return err
	} else if !st.Mode().IsRegular() {
		return fmt.Errorf("%s: not a file", filepath.Base(path))
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for range attempts {
		before, err := currentPages(f)
		if err != nil {
			return err
		}
		done := fn(before)
		after, err := currentPages(f)
		if err != nil {
			return err
		}
		if after.meta.tx == before.meta.tx {
			return done
		}
	}
	return fmt.Errorf("%s: %w", filepath.Base(path), ErrBusy)
}

// currentPages reads the meta pages of an open file.
func currentPages(f *os.File) (*pageFile, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return openPages(f, st.Size())
}

// pageSet is a set of pages.
type pageSet []uint64

func newPageSet(pages uint64) pageSet { return make(pageSet, (pages+63)/64) }

// add adds count pages from id, which are within the file, and reports whether
// none was in the set.
func (s pageSet) add(id uint64, count int) bool {
	fresh := true
	for i := id; i < id+uint64(count); i++ {
		fresh = fresh && s[i/64]&(1<<(i%64)) == 0
		s[i/64] |= 1 << (i % 64)
	}
	return fresh
}

// walk visits the elements of all leaves below root in the order of keys. Pages
// visited are added to seen; one that is there already is an error, so that a
// walk ends on any file.
func (f *pageFile) walk(root *page, seen pageSet, visit func(p *page, e element) error) error {
	type step struct {
		p *page
		i int
	}
	var stack []step
	push := func(p *page) error {
		if len(stack) == maxDepth {
			return fmt.Errorf("a tree deeper than %d", maxDepth)
		}
		if p.f != nil && !seen.add(p.id, p.over+1) {
			return fmt.Errorf("page %d is used twice", p.id)
		}
		stack = append(stack, step{p: p})
		return p.inTree()
	}
	if err := push(root); err != nil {
		return err
	}
	for len(stack) > 0 {
		top := &stack[len(stack)-1]
		p, i := top.p, top.i
		if i == p.count {
			stack = stack[:len(stack)-1]
			continue
		}
		top.i++
		e, err := p.element(i)
		if err != nil {
			return err
		}
		if p.flags == leafPage {
			if err := visit(p, e); err != nil {
				return err
			}
			continue
		}
		child, err := f.page(e.child)
		if err != nil {
			return err
		}
		if err := push(child); err != nil {
			return err
		}
	}
	return nil
}

// check walks the whole file and reports the first thing in its structure that
// could lead bbolt astray: every page of every bucket and of the free list is
// where it should be, once, of the right type, with elements inside its bounds.
// It reads one page of each leaf, not the values.
func (f *pageFile) check() error {
	seen := newPageSet(f.meta.pages)
	seen.add(0, 2)
	if err := f.checkFree(seen); err != nil {
		return err
	}
	root, err := f.page(f.meta.root)
	if err != nil {
		return err
	}
	return f.checkBucket(root, seen, 0)
}

func (f *pageFile) checkBucket(root *page, seen pageSet, depth int) error {
	return f.walk(root, seen, func(p *page, e element) error {
		if e.flags == 0 {
			return nil
		}
		if p.f == nil || depth == maxBuckets {
			return fmt.Errorf("page %d: buckets in buckets, %d deep", p.id, depth)
		}
		child, err := f.bucket(p, e)
		if err != nil {
			return err
		}
		return f.checkBucket(child, seen, depth+1)
	})
}

// checkFree checks the free list and adds it and its pages to seen.
func (f *pageFile) checkFree(seen pageSet) error {
	if f.meta.freelist == noFreelist {
		return errors.New("no free list")
	}
	p, err := f.page(f.meta.freelist)
	if err != nil {
		return err
	}
	if p.flags != freelistPage {
		return fmt.Errorf("free list on page %d of type %02x", p.id, p.flags)
	}
	if !seen.add(p.id, p.over+1) {
		return fmt.Errorf("page %d is used twice", p.id)
	}
	count, from := uint64(p.count), int64(pageHead)
	if count == 0xFFFF {
		b, err := p.bytes(from, 8)
		if err != nil {
			return err
		}
		count, from = native.Uint64(b), from+8
	}
	if count > uint64(p.size-from)/8 {
		return fmt.Errorf("free list of %d pages in %d bytes", count, p.size)
	}
	ids, err := p.bytes(from, int64(count)*8)
	if err != nil {
		return err
	}
	for ; len(ids) > 0; ids = ids[8:] {
		if id := native.Uint64(ids); id < 2 || id >= f.meta.pages || !seen.add(id, 1) {
			return fmt.Errorf("free list names page %d of %d, or twice", id, f.meta.pages)
		}
	}
	return nil
}
