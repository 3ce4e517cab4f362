package board_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"ciglio/cross/board"
)

const sectorSize = 512

// A fat is a FAT16 file system of 16 MiB, a sector a cluster, of which each bit can be
// spoiled: Microsoft, FAT General Overview of On-Disk Format, 1.03.
type fat struct {
	b    []byte
	next int // first cluster that is free
	n    int // entries so far, for short names
}

const (
	fatSize    = 16 << 20
	fatAt      = 1 * sectorSize // the first of two tables
	fatLength  = 128 * sectorSize
	fatRootAt  = fatAt + 2*fatLength
	fatRootLen = 512 * 32
	fatDataAt  = fatRootAt + fatRootLen
	fatEnd     = 0xFFFF
	fatFolder  = 0x10
)

func newFAT() *fat {
	f := &fat{b: make([]byte, fatSize), next: 2}
	boot := f.b
	copy(boot, "\xEB\x3C\x90mkfs.fat")
	le := binary.LittleEndian
	le.PutUint16(boot[11:], sectorSize)
	boot[13] = 1 // sector a cluster
	le.PutUint16(boot[14:], fatAt/sectorSize)
	boot[16] = 2 // tables
	le.PutUint16(boot[17:], fatRootLen/32)
	le.PutUint16(boot[19:], fatSize/sectorSize)
	boot[21] = 0xF8
	le.PutUint16(boot[22:], fatLength/sectorSize)
	boot[38] = 0x29
	copy(boot[43:], "NO NAME    FAT16   ")
	boot[510], boot[511] = 0x55, 0xAA
	f.set(0, 0xFFF8)
	f.set(1, fatEnd)
	return f
}

func (f *fat) set(cluster, value int) {
	for table := range 2 {
		binary.LittleEndian.PutUint16(f.b[fatAt+table*fatLength+2*cluster:], uint16(value))
	}
}

func clusterAt(cluster int) int { return fatDataAt + (cluster-2)*sectorSize }

// put writes a content and returns its first cluster.
func (f *fat) put(content []byte) int {
	first, n := f.next, max(1, (len(content)+sectorSize-1)/sectorSize)
	copy(f.b[clusterAt(first):], content)
	for i := range n {
		f.set(first+i, first+i+1)
	}
	f.set(first+n-1, fatEnd)
	f.next += n
	return first
}

// A fatDir is a folder that still has room.
type fatDir struct {
	f       *fat
	at      int // of the next entry
	cluster int
}

func (f *fat) root() *fatDir { return &fatDir{f, fatRootAt, 0} }

// folder makes one with room for so many clusters of entries.
func (d *fatDir) folder(name string, clusters int) *fatDir {
	first := d.f.put(make([]byte, clusters*sectorSize))
	d.entry(name, fatFolder, first, 0)
	in := &fatDir{d.f, clusterAt(first), first}
	in.short(".          ", fatFolder, first, 0)
	in.short("..         ", fatFolder, d.cluster, 0)
	return in
}

func (d *fatDir) file(name string, content []byte) (cluster int) {
	cluster = d.f.put(content)
	d.entry(name, 0x20, cluster, len(content))
	return cluster
}

func (d *fatDir) entry(name string, attributes byte, cluster, size int) {
	d.long(utf16.Encode([]rune(name)), attributes, cluster, size)
}

// long writes the entries of a long name, and the short one behind them.
func (d *fatDir) long(name []uint16, attributes byte, cluster, size int) {
	d.f.n++
	short := []byte("B0000000CIG")
	for i, n := 7, d.f.n; n > 0; i, n = i-1, n/10 {
		short[i] = byte('0' + n%10)
	}
	sum := byte(0)
	for _, c := range short {
		sum = sum>>1 | sum<<7
		sum += c
	}
	parts := (len(name) + 12) / 13
	for part := parts; part > 0; part-- {
		e := d.f.b[d.at:][:32]
		e[0], e[11], e[13] = byte(part), 0x0F, sum
		if part == parts {
			e[0] |= 0x40
		}
		for i := range 13 {
			c, at := uint16(0xFFFF), 13*(part-1)+i
			switch {
			case at < len(name):
				c = name[at]
			case at == len(name):
				c = 0
			}
			places := []int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30}
			binary.LittleEndian.PutUint16(e[places[i]:], c)
		}
		d.at += 32
	}
	d.short(string(short), attributes, cluster, size)
}

func (d *fatDir) short(name string, attributes byte, cluster, size int) {
	e := d.f.b[d.at:][:32]
	copy(e, name)
	e[11] = attributes
	binary.LittleEndian.PutUint16(e[26:], uint16(cluster))
	binary.LittleEndian.PutUint32(e[28:], uint32(size))
	d.at += 32
}

// An exfat is what mkfs.exfat has made, with files put in beside it: Microsoft, exFAT
// file system specification, 1.00.
type exfat struct {
	b                            []byte
	fatAt, heapAt, cluster, root int // bytes; root is a cluster
	at                           int // of the next entry in the root folder
	next                         int // cluster that is free
	bitmap                       int // its first cluster
}

func newExFAT(t *testing.T) *exfat {
	t.Helper()
	image := filepath.Join(t.TempDir(), "exfat")
	if err := board.Format(t.Context(), image, "exfat", 16<<20); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	x := &exfat{b: b, fatAt: int(le.Uint32(b[80:])) * sectorSize, heapAt: int(le.Uint32(b[88:])) * sectorSize,
		root: int(le.Uint32(b[96:])), cluster: sectorSize << b[109]}
	if b[108] != 9 {
		t.Fatalf("sectors of 2^%d bytes", b[108])
	}
	for x.at = x.place(x.root); b[x.at] != 0; x.at += 32 {
		if b[x.at] == 0x81 {
			x.bitmap = int(le.Uint32(b[x.at+20:]))
		}
	}
	x.next = x.root + 1
	return x
}

func (x *exfat) place(cluster int) int { return x.heapAt + (cluster-2)*x.cluster }

// file puts a file into the root folder; change may spoil its entries before their
// check sum is made.
func (x *exfat) file(name string, content []byte, change ...func(set []byte)) (set []byte) {
	n := max(1, (len(content)+x.cluster-1)/x.cluster)
	first := x.next
	x.next += n
	copy(x.b[x.place(first):], content)
	for i := range n {
		bit := first + i - 2
		x.b[x.place(x.bitmap)+bit/8] |= 1 << (bit % 8)
	}
	return x.entries(name, 0x20, first, len(content), change...)
}

func (x *exfat) entries(name string, attributes byte, first, size int, change ...func(set []byte)) []byte {
	le := binary.LittleEndian
	units := utf16.Encode([]rune(name))
	parts := (len(units) + 14) / 15
	set := x.b[x.at:][:32*(2+parts)]
	x.at += len(set)
	set[0], set[1], set[4] = 0x85, byte(1+parts), attributes
	stream := set[32:]
	stream[0], stream[1], stream[3] = 0xC0, 3, byte(len(units)) // allocated, without chain
	hash := uint16(0)
	for _, u := range utf16.Encode([]rune(strings.ToUpper(name))) {
		for _, c := range []byte{byte(u), byte(u >> 8)} {
			hash = (hash>>1 | hash<<15) + uint16(c)
		}
	}
	le.PutUint16(stream[4:], hash)
	le.PutUint64(stream[8:], uint64(size))
	le.PutUint32(stream[20:], uint32(first))
	le.PutUint64(stream[24:], uint64(size))
	for i := range parts {
		e := set[32*(2+i):]
		e[0] = 0xC1
		for j := 0; j < 15 && 15*i+j < len(units); j++ {
			le.PutUint16(e[2+2*j:], units[15*i+j])
		}
	}
	for _, c := range change {
		c(set)
	}
	sum := uint16(0)
	for i, c := range set {
		if i != 2 && i != 3 {
			sum = (sum>>1 | sum<<15) + uint16(c)
		}
	}
	le.PutUint16(set[2:], sum)
	return set
}

// chain gives a file, by its entries, a chain of clusters.
func (x *exfat) chain(clusters ...int) {
	for i, c := range clusters[:len(clusters)-1] {
		binary.LittleEndian.PutUint32(x.b[x.fatAt+4*c:], uint32(clusters[i+1]))
	}
}

// ext4 makes a file system from what fill puts into a folder, and lets debugfs do the
// commands to it.
func ext4(t *testing.T, fill func(dir string), commands ...string) []byte {
	t.Helper()
	dir, image := t.TempDir(), filepath.Join(t.TempDir(), "ext4")
	fill(dir)
	if err := board.FormatWith(t.Context(), image, dir, 16<<20); err != nil {
		t.Fatal(err)
	}
	if len(commands) > 0 {
		script := filepath.Join(t.TempDir(), "script")
		if err := os.WriteFile(script, []byte(strings.Join(commands, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "env", "debugfs", "-w", "-f", script, image)
		cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("debugfs: %v\n%s", err, out)
		}
	}
	b, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// An mbrPart is a row of a table of partitions, in sectors.
type mbrPart struct {
	kind          byte
	first, length uint32
}

// withMBR puts a file system at 1 MiB behind a table of partitions.
func withMBR(content []byte, parts ...mbrPart) []byte {
	disk := append(make([]byte, partAt*sectorSize), content...)
	for i, p := range parts {
		e := disk[446+16*i:]
		e[4] = p.kind
		binary.LittleEndian.PutUint32(e[8:], p.first)
		binary.LittleEndian.PutUint32(e[12:], p.length)
	}
	disk[510], disk[511] = 0x55, 0xAA
	return disk
}

const partAt = 2048 // first sector of the partition

// withGPT puts a file system at 1 MiB behind a GUID partition table, with its copy at
// the end: UEFI 2.10, 5.3.
func withGPT(content []byte) []byte {
	sectors := uint64(len(content)/sectorSize + partAt + 34)
	disk := withMBR(content, mbrPart{0xEE, 1, uint32(sectors - 1)})
	disk = append(disk, make([]byte, 34*sectorSize)...)
	le := binary.LittleEndian
	table := make([]byte, 128*128)
	copy(table, "\xA2\xA0\xD0\xEB\xE5\xB9\x33\x44\x87\xC0\x68\xB6\xB7\x26\x99\xC7") // basic data
	table[16] = 1
	le.PutUint64(table[32:], partAt)
	le.PutUint64(table[40:], uint64(partAt+len(content)/sectorSize-1))
	header := func(own, other, tableAt uint64) {
		h := disk[own*sectorSize:][:92]
		copy(h, "EFI PART\x00\x00\x01\x00")
		le.PutUint32(h[12:], 92)
		le.PutUint64(h[24:], own)
		le.PutUint64(h[32:], other)
		le.PutUint64(h[40:], 34)
		le.PutUint64(h[48:], sectors-34)
		h[56] = 1
		le.PutUint64(h[72:], tableAt)
		le.PutUint32(h[80:], 128)
		le.PutUint32(h[84:], 128)
		le.PutUint32(h[88:], crc32.ChecksumIEEE(table))
		le.PutUint32(h[16:], crc32.ChecksumIEEE(h))
		copy(disk[tableAt*sectorSize:], table)
	}
	header(1, sectors-1, 2)
	header(sectors-1, 1, sectors-33)
	return disk
}

// replace changes the first place where something stands.
func replace(t *testing.T, b []byte, old, new string) []byte {
	t.Helper()
	if len(old) != len(new) || !bytes.Contains(b, []byte(old)) {
		t.Fatalf("%q is not there to become %q", old, new)
	}
	return bytes.Replace(b, []byte(old), []byte(new), 1)
}
