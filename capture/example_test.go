package capture_test

import (
	"fmt"
	"time"

	"ciglio/capture"
	"ciglio/cross/simulate/simcam"
	"ciglio/sensor"
)

// The ring keeps what the camera gave last. The pictures of a vehicle are asked for once
// it is known, by the instant at which it was at the photo position.
func ExampleRing() {
	ring := capture.NewRing(32, 16<<10)
	second := sensor.Mono(time.Second)
	for n, picture := range simcam.Noise(20, 64, 48) {
		err := ring.Put(capture.Frame{Number: uint64(n), At: second.Add(time.Duration(n) * 100 * time.Millisecond), MediaType: "image/jpeg", Data: picture})
		if err != nil {
			fmt.Println(err)
			return
		}
	}
	shots, err := ring.Shots(second.Add(1010*time.Millisecond), 3, 200*time.Millisecond, 50*time.Millisecond)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range shots {
		fmt.Println(s.Role, s.Frame.Number)
	}
	_, err = ring.Shots(10*second, 3, 200*time.Millisecond, 50*time.Millisecond)
	fmt.Println(err)
	// Output:
	// before 8
	// photo 10
	// after 12
	// frame "photo" at 10.000s: the nearest is 7.1s earlier, allowed is 50ms
}
