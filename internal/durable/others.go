package durable

import (
	"fmt"
	"os"
)

// Others says in words what others than its owner may do with the folder or file at
// path; it is empty when they may do nothing. So a command that writes what is
// nobody's business can warn of a folder that was there before.
func Others(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	mode := info.Mode().Perm() & 0o077
	may := "read"
	switch {
	case mode == 0:
		return "", nil
	case mode&0o022 != 0:
		may = "read and change"
	}
	return fmt.Sprintf("%s is open to others, who may %s what lies there by name (mode %04o): chmod go= %s", path, may, info.Mode().Perm(), path), nil
}
