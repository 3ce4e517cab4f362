package backup

import (
	"bytes"
	"testing"

	"ciglio/portal/database"
)

// FuzzRow shows that a row has one spelling.
func FuzzRow(f *testing.F) {
	columns := []database.Column{{Name: "id", Kind: database.Bytes}, {Name: "n", Kind: database.Integer}, {Name: "words", Kind: database.Text}}
	for _, line := range []string{`["AQI=",-12,"a\u0000\"ü"]`, `[null,null,null]`, `["",0,""]`, `[ "",0,""]`, `["AQJ=",0,""]`, `["",00,""]`, `["",1e3,""]`, `[]`, `null`} {
		f.Add([]byte(line + "\n"))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		row, err := parseRow(line, columns)
		if err != nil {
			return
		}
		if again, err := appendRow(nil, columns, row); err != nil || !bytes.Equal(again, line) {
			t.Errorf("%q is written %q, %v", line, again, err)
		}
	})
}

// The sum does not hang on the order, and on nothing less than every row.
func TestTally(t *testing.T) {
	var a, b, c tally
	for _, line := range []string{"one", "two", "two"} {
		a.add([]byte(line))
	}
	for _, line := range []string{"two", "one", "two"} {
		b.add([]byte(line))
	}
	for _, line := range []string{"one", "one", "two"} {
		c.add([]byte(line))
	}
	if a != b || a == c {
		t.Errorf("%v, %v, %v", a, b, c)
	}
}
