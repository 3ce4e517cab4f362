package boardtest

import "testing"

func TestFigureReplacesItsRow(t *testing.T) {
	const before = "# Board\n\n| figure | measured |\n|---|---|\n| start | 3 s |\n| start of it | 4 s |\n\nEnd\n"
	for _, c := range []struct{ name, row, want string }{
		{"start", "| start | 5 s |", "# Board\n\n| figure | measured |\n|---|---|\n| start | 5 s |\n| start of it | 4 s |\n\nEnd\n"},
		{"memory", "| memory | 1 MB |", "# Board\n\n| figure | measured |\n|---|---|\n| start | 3 s |\n| start of it | 4 s |\n| memory | 1 MB |\n\nEnd\n"},
	} {
		if got, err := setRow([]byte(before), c.name, c.row); err != nil || string(got) != c.want {
			t.Errorf("%s: %v\n%s", c.name, err, got)
		}
	}
	if _, err := setRow([]byte("# Board\n"), "start", "| start |"); err == nil {
		t.Error("a document without a table took a figure")
	}
}
