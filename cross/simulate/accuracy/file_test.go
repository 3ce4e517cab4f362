package main

import (
	"reflect"
	"testing"

	"ciglio/cross/simulate"
)

func TestFileGivesTheSameRoad(t *testing.T) {
	for _, c := range classes {
		for seed := range uint64(2) {
			r := c.road(seed)
			got, err := simulate.ParseScenario(r.AppendFile(nil))
			if err != nil {
				t.Fatalf("%s, seed %d: %v\n%s", c.name, seed, err, r.AppendFile(nil))
			}
			if !reflect.DeepEqual(got, r.Scenario) {
				t.Fatalf("%s, seed %d:\n%+v\n%+v\n%s", c.name, seed, got, r.Scenario, r.AppendFile(nil))
			}
		}
	}
}
