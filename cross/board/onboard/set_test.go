//go:build linux

package onboard_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

var (
	attribute = flag.String("set", "", "TestSet: the file of /sys")
	value     = flag.String("value", "", "TestSet: what to write into it")
	named     = flag.String("named", "", "TestSet: instead of a value, a pattern of the one file whose name is written")
)

// TestSet writes a value into a file of /sys: to take a device from its driver
// and give it back, as if it were unplugged and plugged in again.
func TestSet(t *testing.T) {
	needBoard(t)
	if *named != "" {
		found, err := filepath.Glob(*named)
		if err != nil || len(found) != 1 {
			t.Fatalf("%s: %q, %v; want one", *named, found, err)
		}
		*value = filepath.Base(found[0])
	}
	fmt.Printf("set: %s\n", *value)
	if err := os.WriteFile(*attribute, []byte(*value), 0); err != nil {
		t.Fatal(err)
	}
}
