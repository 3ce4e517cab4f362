package life

import (
	"math"
	"time"
)

// Sun returns the height of the sun's centre above the horizon in degrees, without
// refraction, at a place in degrees north and east. Until 2100 it is within 0.1°
// (J. Meeus, Astronomical Algorithms, chapter 25, low accuracy).
func Sun(utc time.Time, north, east float64) float64 {
	days := float64(utc.Unix())/86400 - 10957.5 // since noon of 1 January 2000
	anomaly := radians(357.5291 + 0.98560028*days)
	longitude := radians(280.4665+0.98564736*days) + radians(1.9146)*math.Sin(anomaly) + radians(0.02)*math.Sin(2*anomaly)
	tilt := radians(23.4393)
	declination := math.Asin(math.Sin(tilt) * math.Sin(longitude))
	ascension := math.Atan2(math.Cos(tilt)*math.Sin(longitude), math.Cos(longitude))
	sidereal := radians(280.4606 + 360.9856474*days + east)
	hour := sidereal - ascension
	latitude := radians(north)
	height := math.Sin(latitude)*math.Sin(declination) + math.Cos(latitude)*math.Cos(declination)*math.Cos(hour)
	return math.Asin(height) * 180 / math.Pi
}

func radians(degrees float64) float64 { return math.Mod(degrees, 360) * math.Pi / 180 }
