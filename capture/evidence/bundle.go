package evidence

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// page is the page that checks a bundle in a browser. It is put into every
// bundle.
//
//go:embed verify.html
var page []byte

// Page returns the page that checks a bundle in a browser, as it is put into every one.
func Page() []byte { return slices.Clone(page) }

// A Bundle is everything that belongs to one record, as bytes. What is absent
// is nil. Nothing in a bundle is trusted: see [Verify].
type Bundle struct {
	Record            []byte   // sealed
	Frames            [][]byte // in the order of the record; nil where one is missing
	Trace             []byte
	DeviceCertificate []byte // X.509, DER
	Calibration       []byte // the statement that field 17 names
	Configuration     []byte // the statement that field 18 names
	Receipt           []byte // sealed
	Proof             []byte // of inclusion in the log
	// Archive is what the files were read from; nil when they were put together.
	Archive *Archive
}

// An Archive says what a bundle's files lay in. Nothing about it is evidence.
type Archive struct {
	// Changed says in what it is not the archive as it was written: "packed anew",
	// "a folder". Empty when it is.
	Changed string
	Foreign []string // names that lie there and are not part of the evidence
	Page    []byte   // verify.html, which is not part of what is checked; nil when none lies there
}

// MaxBundle is the largest bundle, in bytes.
const MaxBundle = MaxFrames*MaxFrame + MaxTrace + 2<<20

// Names of a bundle's files, in their order. Frames are named
// frames/1-before.jpg and so on; the trace's name ends as its format demands.
const (
	nameRecord        = "record.cose"
	nameCertificate   = "device.crt"
	nameCalibration   = "calibration.txt"
	nameConfiguration = "configuration.txt"
	nameReceipt       = "receipt.cose"
	nameProof         = "log.cbor"
	namePage          = "verify.html"
)

// frameName returns the name of the n-th frame, from 1.
func frameName(n int, role string) string { return fmt.Sprintf("frames/%d-%s.jpg", n, role) }

// traceName returns the name of a trace of the given media type.
func traceName(format string) string {
	switch format {
	case "audio/wav":
		return "trace.wav"
	case "text/csv":
		return "trace.csv"
	case "application/jsonl":
		return "trace.jsonl"
	}
	return "trace.bin"
}

// bundleFile is a name that a bundle may hold.
type bundleFile struct {
	name string
	max  int // bytes
	at   int // place in the zip
}

// bundleFiles returns every name that a bundle may hold, in the order of the
// zip. Names with the same place exclude each other.
func bundleFiles() []bundleFile {
	all := []bundleFile{{nameRecord, MaxRecord, 0}}
	for n := 1; n <= MaxFrames; n++ {
		for _, role := range []string{"before", "photo", "after"} {
			all = append(all, bundleFile{frameName(n, role), MaxFrame, n})
		}
	}
	at := MaxFrames + 1
	for _, name := range []string{"trace.wav", "trace.csv", "trace.jsonl", "trace.bin"} {
		all = append(all, bundleFile{name, MaxTrace, at})
	}
	for _, f := range []bundleFile{
		{nameCertificate, 16 << 10, 1}, {nameCalibration, MaxStatement, 2}, {nameConfiguration, MaxStatement, 3},
		{nameReceipt, MaxReceipt, 4}, {nameProof, maxProof, 5}, {namePage, 1 << 20, 6},
	} {
		f.at += at
		all = append(all, f)
	}
	return all
}

// WriteBundle writes the bundle as a zip file, with the page that checks it.
// The same bundle gives the same bytes. The record must open; the bundle is not
// verified otherwise.
func WriteBundle(w io.Writer, b *Bundle) error {
	s, err := Open(b.Record)
	if err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	files := []file{{nameRecord, b.Record}}
	if len(b.Frames) > len(s.Record.Frames) {
		return fmt.Errorf("bundle: %d frames, the record names %d", len(b.Frames), len(s.Record.Frames))
	}
	for i, data := range b.Frames {
		files = append(files, file{frameName(i+1, s.Record.Frames[i].Role), data})
	}
	if b.Trace != nil {
		if s.Record.Trace == nil {
			return errors.New("bundle: a trace, and the record names none")
		}
		files = append(files, file{traceName(s.Record.Trace.Format), b.Trace})
	}
	files = append(files,
		file{nameCertificate, b.DeviceCertificate}, file{nameCalibration, b.Calibration},
		file{nameConfiguration, b.Configuration}, file{nameReceipt, b.Receipt}, file{nameProof, b.Proof},
		file{namePage, page})

	limits := map[string]int{}
	for _, f := range bundleFiles() {
		limits[f.name] = f.max
	}
	present := files[:0]
	for _, f := range files {
		if len(f.data) > limits[f.name] {
			return fmt.Errorf("bundle: %s: %w: %d bytes, want at most %d", f.name, ErrTooLarge, len(f.data), limits[f.name])
		}
		if f.data != nil {
			present = append(present, f)
		}
	}
	if err := writeZip(w, present); err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	return nil
}

// ReadBundle reads a bundle's zip file of the given size: what [WriteBundle]
// writes, with this or another version of the page, or what another program has
// packed of the same files. Which of both it is, and what else lies in it,
// [Bundle.Archive] says. It holds the files in memory, at most [MaxBundle] bytes,
// and checks nothing about them: see [Verify].
func ReadBundle(r io.ReaderAt, size int64) (*Bundle, error) {
	if size > MaxBundle {
		return nil, fmt.Errorf("bundle: %w: %d bytes, want at most %d", ErrTooLarge, size, int64(MaxBundle))
	}
	archive := &Archive{}
	files, err := readOriginal(r, size)
	if err != nil {
		archive.Changed = "packed anew"
		if files, archive.Foreign, err = readPacked(r, size); err != nil {
			return nil, fmt.Errorf("bundle: %w", err)
		}
	}
	return assemble(files, archive)
}

// readOriginal reads what [WriteBundle] writes: known names, each once, in order,
// stored without compression, and nothing else.
func readOriginal(r io.ReaderAt, size int64) ([]file, error) {
	allowed := map[string]bundleFile{}
	for _, f := range bundleFiles() {
		allowed[f.name] = f
	}
	last := -1
	return readZip(io.NewSectionReader(r, 0, size), func(name string) (int, error) {
		f, known := allowed[name]
		switch {
		case !known:
			return 0, fmt.Errorf("%q: not a file of a bundle", name)
		case f.at <= last:
			return 0, fmt.Errorf("%s: stands twice or out of order", name)
		}
		last = f.at
		return f.max, nil
	})
}

// ReadFolder reads a bundle whose files lie in a folder. What else lies there is
// told in [Bundle.Archive] and not opened; what bears a name of the bundle and is
// no plain file, such as a pipe or a link, is an error and not opened either.
func ReadFolder(folder fs.FS) (*Bundle, error) {
	found := map[string]fs.FileMode{}
	for _, dir := range []string{".", "frames"} {
		if mode, there := found[dir]; dir != "." && (!there || !mode.IsDir()) {
			continue
		}
		entries, err := fs.ReadDir(folder, dir)
		if err != nil {
			return nil, fmt.Errorf("bundle: %w", err)
		}
		for _, e := range entries {
			found[path.Join(dir, e.Name())] = e.Type()
		}
	}
	if found["frames"].IsDir() {
		delete(found, "frames")
	}
	archive := &Archive{Changed: "a folder"}
	var files []file
	last := -1
	for _, f := range bundleFiles() {
		mode, there := found[f.name]
		if !there {
			continue
		}
		delete(found, f.name)
		if f.at == last {
			return nil, fmt.Errorf("bundle: %s: another file stands in its place", f.name)
		}
		last = f.at
		if !mode.IsRegular() {
			return nil, fmt.Errorf("bundle: %s: %w: %s", f.name, ErrNotPlain, FileKind(mode))
		}
		data, err := readLimited(folder, f.name, f.max)
		if err != nil {
			return nil, fmt.Errorf("bundle: %w", err)
		}
		files = append(files, file{f.name, data})
	}
	for name, mode := range found {
		if mode.IsDir() {
			name += "/"
		}
		archive.Foreign = append(archive.Foreign, name)
	}
	slices.Sort(archive.Foreign)
	return assemble(files, archive)
}

// ErrNotPlain is the error of what lies in the place of a file and is none.
var ErrNotPlain = errors.New("not a plain file")

// FileKind names what is no plain file.
func FileKind(mode fs.FileMode) string {
	switch {
	case mode.IsRegular():
		return "a file"
	case mode.IsDir():
		return "a folder"
	case mode&fs.ModeSymlink != 0:
		return "a link"
	case mode&fs.ModeNamedPipe != 0:
		return "a pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "of no known kind"
}

// readLimited reads a regular file of 1 to limit bytes.
func readLimited(folder fs.FS, name string, limit int) ([]byte, error) {
	f, err := folder.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w", name, ErrNotPlain)
	}
	data, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) < 1 || len(data) > limit:
		return nil, fmt.Errorf("%s: %w: want 1 to %d bytes", name, ErrTooLarge, limit)
	}
	return data, nil
}

// assemble puts each file in its place. Where the record can be read, frames
// and trace must have the names that it gives them.
func assemble(files []file, archive *Archive) (*Bundle, error) {
	b := &Bundle{Archive: archive}
	var frames []file
	trace := ""
	for _, f := range files {
		switch f.name {
		case nameRecord:
			b.Record = f.data
		case nameCertificate:
			b.DeviceCertificate = f.data
		case nameCalibration:
			b.Calibration = f.data
		case nameConfiguration:
			b.Configuration = f.data
		case nameReceipt:
			b.Receipt = f.data
		case nameProof:
			b.Proof = f.data
		case namePage:
			archive.Page = f.data
		default:
			if strings.HasPrefix(f.name, "trace.") {
				b.Trace, trace = f.data, f.name
			} else {
				frames = append(frames, f)
			}
		}
	}
	if b.Record == nil {
		return nil, fmt.Errorf("bundle: %s: missing", nameRecord)
	}
	r := &Record{}
	if s, err := Open(b.Record); err == nil {
		r = s.Record
	}
	for _, f := range frames {
		n := int(f.name[len("frames/")] - '0')
		if n <= len(r.Frames) && f.name != frameName(n, r.Frames[n-1].Role) {
			return nil, fmt.Errorf("bundle: %s: the record names it %s", f.name, frameName(n, r.Frames[n-1].Role))
		}
		for len(b.Frames) < n {
			b.Frames = append(b.Frames, nil)
		}
		b.Frames[n-1] = f.data
	}
	if r.Trace != nil && trace != "" && trace != traceName(r.Trace.Format) {
		return nil, fmt.Errorf("bundle: %s: the record names it %s", trace, traceName(r.Trace.Format))
	}
	return b, nil
}
