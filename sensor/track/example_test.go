package track_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"ciglio/sensor"
	"ciglio/sensor/agd"
	"ciglio/sensor/track"
)

// A Source gives the passages of a sensor, here of one whose bytes were recorded. Who
// uses them asks whether their speed stands: this recording ends in mid-passage.
func ExampleSource() {
	file, err := os.Open("../agd/testdata/agd350.bin")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer file.Close()
	var source sensor.Source
	source, err = track.NewSource(func(context.Context) (sensor.Feed, error) {
		return agd.NewPlayback(file, agd.CRC8), nil
	}, track.Options{Step: agd.Step, Separates: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	for {
		p, err := source.Next(context.Background())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(p.Speed, p.Direction, p.Valid(), p.Reasons)
	}
	// Output:
	// 63.40 km/h approaching false [too few readings in the measuring zone samples of the signal are missing]
}
