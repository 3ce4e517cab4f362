package backup

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"strconv"

	"ciglio/portal/database"
)

// header is the first line of a file of rows.
type header struct {
	Table   string            `json:"table"`
	Columns []database.Column `json:"columns"`
}

// appendRow appends a row as the line of JSON that files of rows have: numbers, text,
// bytes in base64 (RFC 4648, section 4), null.
func appendRow(line []byte, columns []database.Column, row []any) ([]byte, error) {
	line = append(line, '[')
	for i, v := range row {
		if i > 0 {
			line = append(line, ',')
		}
		switch v := v.(type) {
		case nil:
			line = append(line, "null"...)
		case int64:
			line = strconv.AppendInt(line, v, 10)
		case []byte:
			line = append(line, '"')
			line = base64.StdEncoding.AppendEncode(line, v)
			line = append(line, '"')
		case string:
			text, err := json.Marshal(v)
			if err != nil {
				return nil, err
			}
			line = append(line, text...)
		default:
			return nil, fmt.Errorf("column %s: %T", columns[i].Name, v)
		}
	}
	return append(line, "]\n"...), nil
}

// parseRow reads what appendRow has written, in its one spelling.
func parseRow(line []byte, columns []database.Column) ([]any, error) {
	values := make([]json.RawMessage, 0, len(columns))
	if err := json.Unmarshal(line, &values); err != nil {
		return nil, err
	}
	if len(values) != len(columns) {
		return nil, fmt.Errorf("%d values for %d columns", len(values), len(columns))
	}
	row := make([]any, len(columns))
	for i, c := range columns {
		if string(values[i]) == "null" {
			continue
		}
		var err error
		switch c.Kind {
		case database.Integer:
			row[i], err = strconv.ParseInt(string(values[i]), 10, 64)
		case database.Text:
			var text string
			err = json.Unmarshal(values[i], &text)
			row[i] = text
		case database.Bytes:
			quoted := values[i]
			if len(quoted) < 2 || quoted[0] != '"' {
				return nil, fmt.Errorf("column %s: no bytes", c.Name)
			}
			var data []byte
			data, err = base64.StdEncoding.Strict().AppendDecode([]byte{}, quoted[1:len(quoted)-1])
			row[i] = data
		default:
			err = fmt.Errorf("of kind %q", c.Kind)
		}
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", c.Name, err)
		}
	}
	again, err := appendRow(make([]byte, 0, len(line)), columns, row)
	if err == nil && !bytes.Equal(again, line) {
		err = errors.New("another spelling than that of a backup")
	}
	return row, err
}

// A File of a copy, by its name under it.
type File struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	Rows   int64  `json:"rows,omitempty"` // of a table
}

// writeRows writes the file of a table and syncs it.
func writeRows(ctx context.Context, path string, t database.Table, tx *database.Tx) (File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	sum := sha256.New()
	w := bufio.NewWriterSize(io.MultiWriter(f, sum), 1<<20)
	first, err := json.Marshal(header{t.Name, t.Columns})
	if err != nil {
		return File{}, err
	}
	file := File{Bytes: int64(len(first)) + 1}
	w.Write(append(first, '\n')) // the error comes with Flush
	var line []byte
	err = tx.Rows(ctx, t, 0, func(row []any) error {
		if line, err = appendRow(line[:0], t.Columns, row); err != nil {
			return err
		}
		file.Rows++
		file.Bytes += int64(len(line))
		_, err := w.Write(line)
		return err
	})
	if err := errors.Join(err, w.Flush(), f.Sync()); err != nil {
		return File{}, err
	}
	file.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return file, nil
}

// maxLine is the longest line of a file of rows, in bytes.
const maxLine = 64 << 20

// readRows calls yield for each row of a file, which is not kept.
func readRows(path string, yield func(columns []database.Column, row []any) error) (header, error) {
	var h header
	f, err := os.Open(path)
	if err != nil {
		return h, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 1<<20), maxLine)
	lines.Split(wholeLines)
	if !lines.Scan() {
		return h, errors.Join(fmt.Errorf("%s: empty", path), lines.Err())
	}
	decoder := json.NewDecoder(bytes.NewReader(lines.Bytes()))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&h); err != nil {
		return h, fmt.Errorf("%s: %w", path, err)
	}
	for n := 2; lines.Scan(); n++ {
		row, err := parseRow(lines.Bytes(), h.Columns)
		if err == nil {
			err = yield(h.Columns, row)
		}
		if err != nil {
			return h, fmt.Errorf("%s: line %d: %w", path, n, err)
		}
	}
	return h, lines.Err()
}

// wholeLines splits into lines with their ends. What has none is no line.
func wholeLines(data []byte, end bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i+1], nil
	}
	if end && len(data) > 0 {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return 0, nil, nil
}

// sumFile hashes a file.
func sumFile(path string) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	return File{Bytes: n, SHA256: hex.EncodeToString(sum.Sum(nil))}, err
}

// A tally is what a table holds, whatever the order of its rows: their number, and the
// sum of their SHA-256, as numbers, modulo 2^256.
type tally struct {
	rows int64
	sum  [4]uint64
}

func (t *tally) add(line []byte) {
	t.rows++
	hash := sha256.Sum256(line)
	var carry uint64
	for i := range t.sum {
		t.sum[i], carry = bits.Add64(t.sum[i], binary.LittleEndian.Uint64(hash[8*i:]), carry)
	}
}

func (t tally) String() string {
	return fmt.Sprintf("%d rows, %016x%016x%016x%016x", t.rows, t.sum[3], t.sum[2], t.sum[1], t.sum[0])
}

// tallyOf reads a table.
func tallyOf(ctx context.Context, db *database.DB, t database.Table) (sum tally, err error) {
	var line []byte
	err = db.View(ctx, func(tx *database.Tx) error {
		return tx.Rows(ctx, t, 0, func(row []any) error {
			if line, err = appendRow(line[:0], t.Columns, row); err == nil {
				sum.add(line)
			}
			return err
		})
	})
	return sum, err
}

// A loader puts the rows of one table into a database that is being filled, thousands
// at a time.
type loader struct {
	db     *database.DB
	source string
	table  database.Table
	skip   int64 // rows that are there already
	seen   int64
	bytes  int
	batch  [][]any
}

// What one transaction loads at most.
const (
	batchRows  = 5_000
	batchBytes = 8 << 20
)

// add takes a row, which is not used any more by others.
func (l *loader) add(ctx context.Context, row []any) error {
	if l.seen++; l.seen <= l.skip {
		return nil
	}
	l.batch = append(l.batch, row)
	for _, v := range row {
		if b, ok := v.([]byte); ok {
			l.bytes += len(b)
		}
	}
	if len(l.batch) < batchRows && l.bytes < batchBytes {
		return nil
	}
	return l.flush(ctx)
}

func (l *loader) flush(ctx context.Context) error {
	if len(l.batch) == 0 {
		return nil
	}
	if err := l.db.Load(ctx, l.source, l.table, l.skip, l.batch); err != nil {
		return err
	}
	l.skip += int64(len(l.batch))
	l.batch, l.bytes = nil, 0
	return nil
}
