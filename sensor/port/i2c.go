//go:build linux

package port

import (
	"fmt"
	"sync"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/host/v3/sysfs"
)

// I2C returns what opens the I²C bus of a number, that of /dev/i2c-N, by periph's own
// driver. The bus is opened once, and tried again for as long as it is not there. It
// may be called by several goroutines.
func I2C(number int) func() (i2c.Bus, error) {
	var mu sync.Mutex
	var bus i2c.Bus
	return func() (i2c.Bus, error) {
		mu.Lock()
		defer mu.Unlock()
		if bus == nil {
			opened, err := sysfs.NewI2C(number)
			if err != nil {
				return nil, fmt.Errorf("I2C bus %d: %w", number, err)
			}
			bus = opened
		}
		return bus, nil
	}
}
