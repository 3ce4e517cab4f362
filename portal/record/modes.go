package record

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ciglio/internal/durable"
)

// OpenToOthers names what of the folder dir, and of what lies in it, others than its owner
// can read or enter, with its mode. Of folders of many files it looks at the folder
// alone, as nobody gets past that.
func OpenToOthers(dir string) ([]string, error) {
	var open []string
	look := func(path string, info fs.FileInfo) {
		if mode := info.Mode().Perm(); mode&0o077 != 0 {
			open = append(open, fmt.Sprintf("%s (%04o)", path, mode))
		}
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	look(dir, info)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		// SQLite's own come and go.
		if info, err := e.Info(); err == nil && info.Mode()&fs.ModeSymlink == 0 && !durable.Unfinished(e.Name()) {
			look(filepath.Join(dir, e.Name()), info)
		}
	}
	return open, nil
}
