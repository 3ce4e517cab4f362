package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"ciglio/cross/simulate"
	"ciglio/cross/simulate/live"
	"ciglio/sensor"
)

const roadsideUsage = `usage: ciglio-demo roadside --radar PATH --camera ADDRESS [flags]

A simulated road for a device of its own, ciglio run: a radar on a serial line
(a pseudo-terminal to which PATH is made a link) and a network camera. What a
device records of them is a test. docs/operation.md says how to set it up.

`

// roadsideCommand plays a road until ctx ends or the road does.
func roadsideCommand(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("ciglio-demo roadside", flag.ContinueOnError)
	f.SetOutput(io.Discard) // what is wrong is printed below, once
	radar := f.String("radar", "", "`path` of the radar's serial line")
	camera := f.String("camera", "", "`address` of the camera, host:port")
	limit := 70 * sensor.KmH
	f.TextVar(&limit, "limit", limit, "`speed` limit of the road, 50km/h to 130km/h; some vehicles keep it")
	seed := f.Uint64("seed", 1, "which road: the same seed gives the same traffic")
	duration := f.Duration("for", 0, "end by itself after this long, at least 15s; 0 means not")
	asJSON := f.Bool("json", false, "print one JSON object: radar, camera")
	wrong := func(format string, args ...any) int {
		fmt.Fprintf(stderr, "ciglio-demo roadside: "+format+"\nhint: ciglio-demo roadside --help\n", args...)
		return exitUsage
	}
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, roadsideUsage)
		f.SetOutput(stdout)
		f.PrintDefaults()
		return exitGood
	case err != nil:
		return wrong("%v", err)
	case f.NArg() > 0:
		return wrong("no argument %q", f.Arg(0))
	case *radar == "" || *camera == "":
		return wrong("--radar or --camera is missing")
	case limit < 50*sensor.KmH || limit > 130*sensor.KmH:
		return wrong("--limit %v: want 50km/h to 130km/h", limit)
	case *duration != 0 && *duration < 15*time.Second || *duration > forever:
		return wrong("--for %v: want 15s to %v", *duration, forever)
	}
	long := *duration
	if long == 0 {
		long = forever
	}
	if err := playRoadside(ctx, simulate.Traffic(*seed, limit, long), *radar, *camera, *asJSON, stdout); err != nil && ctx.Err() == nil {
		fmt.Fprintf(stderr, "ciglio-demo roadside: %v\n", err)
		return exitFailed
	}
	return exitGood
}

func playRoadside(ctx context.Context, scenario simulate.Scenario, radar, camera string, asJSON bool, stdout io.Writer) error {
	road, err := simulate.NewRoad(scenario)
	if err != nil {
		return err
	}
	side, err := live.Open(road, radar, camera)
	if err != nil {
		return err
	}
	if asJSON {
		printJSON(stdout, struct {
			Radar  string `json:"radar"`
			Camera string `json:"camera"`
		}{radar, side.CameraURL()})
	} else {
		fmt.Fprintf(stdout, "radar   %s: driver iqframe, %d pairs a second, %d baud\ncamera  %s: driver http, latency %v\nA simulated road. Ctrl-C ends it.\n",
			radar, road.Radar().Rate, live.Baud, side.CameraURL(), live.Latency)
	}
	return side.Run(ctx)
}
