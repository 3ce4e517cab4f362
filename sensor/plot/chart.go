package plot

import (
	"image"
	"io"
	"math"
	"slices"
)

// A Chart is a plain diagram for a report, black on white. What lies beyond its
// limits is drawn at the edge.
type Chart struct {
	Title        string
	XName, YName string
	X, Y         [2]float64 // from and to
	// LogX and LogY make an axis logarithmic; its limits are then positive.
	LogX, LogY bool
}

// A XY is one point of a chart.
type XY struct {
	X, Y float64
	Red  bool // an outlier, drawn larger and last
}

const chartWidth, chartHeight = 1100, 620

var chartField = image.Rect(100, 56, 1070, 540)

// WriteHistogram writes how many of the values lie in each of n equal steps of
// the axis X.
func (d Chart) WriteHistogram(w io.Writer, values []float64, n int) error {
	count := make([]float64, n)
	for _, v := range values {
		at := int(math.Floor((v - d.X[0]) / (d.X[1] - d.X[0]) * float64(n)))
		count[min(max(at, 0), n-1)]++
	}
	c := newCanvas(chartWidth, chartHeight, white)
	x, y := d.axes()
	d.surround(c, x, y)
	for i, k := range count {
		from, to := chartField.Min.X+i*chartField.Dx()/n, chartField.Min.X+(i+1)*chartField.Dx()/n
		if k > 0 {
			box := image.Rect(from, int(y.at(d.y(k))), max(to-1, from+1), chartField.Max.Y)
			c.fill(box.Intersect(chartField), blue)
		}
	}
	c.frame(chartField.Inset(-1), black)
	return c.write(w)
}

// WritePoints writes points, and behind them the band between each value of
// band and its negative. The band is drawn from point to point.
func (d Chart) WritePoints(w io.Writer, points, band []XY) error {
	c := newCanvas(chartWidth, chartHeight, white)
	x, y := d.axes()
	for i := 1; i < len(band); i++ {
		a, b := band[i-1], band[i]
		from, to := x.at(d.x(a.X)), x.at(d.x(b.X))
		for px := math.Ceil(from); px < to; px++ {
			v := a.Y + (px-from)/(to-from)*(b.Y-a.Y)
			box := image.Rect(int(px), int(y.at(d.y(v))), int(px)+1, int(y.at(d.y(-v))))
			c.fill(box.Intersect(chartField), paleBlue)
		}
	}
	d.surround(c, x, y)
	for _, outliers := range []bool{false, true} {
		size, colour := 2, uint8(blue)
		if outliers {
			size, colour = 5, red
		}
		for _, p := range points {
			if p.Red != outliers {
				continue
			}
			px := min(max(int(x.at(d.x(p.X))), chartField.Min.X+size/2), chartField.Max.X-size)
			py := min(max(int(y.at(d.y(p.Y))), chartField.Min.Y+size/2), chartField.Max.Y-size)
			c.fill(image.Rect(px-size/2, py-size/2, px-size/2+size, py-size/2+size), colour)
		}
	}
	c.frame(chartField.Inset(-1), black)
	return c.write(w)
}

func (d Chart) x(v float64) float64 { return scaled(v, d.X[0], d.LogX) }
func (d Chart) y(v float64) float64 { return scaled(v, d.Y[0], d.LogY) }

func scaled(v, low float64, logarithmic bool) float64 {
	if logarithmic {
		return math.Log10(max(v, low))
	}
	return v
}

func (d Chart) axes() (x, y axis) {
	return axis{d.x(d.X[0]), d.x(d.X[1]), chartField.Min.X, chartField.Max.X},
		axis{d.y(d.Y[0]), d.y(d.Y[1]), chartField.Max.Y, chartField.Min.Y}
}

// surround draws the grid, the numbers and the names.
func (d Chart) surround(c *canvas, x, y axis) {
	const scale, half = 2, capHeight
	c.text(chartField.Min.X, 8, d.Title, scale, black)
	values, decimals := steps(x, d.X, d.LogX)
	for _, v := range values {
		at := int(x.at(d.x(v)))
		c.fill(image.Rect(at, chartField.Min.Y, at+1, chartField.Max.Y), grid)
		s := number(v, decimals)
		c.text(at-textWidth(s, scale)/2, chartField.Max.Y+10, s, scale, black)
	}
	values, decimals = steps(y, d.Y, d.LogY)
	for _, v := range values {
		at := int(y.at(d.y(v)))
		c.fill(image.Rect(chartField.Min.X, at, chartField.Max.X, at+1), grid)
		s := number(v, decimals)
		c.text(chartField.Min.X-8-textWidth(s, scale), at-half, s, scale, black)
	}
	c.text(chartField.Min.X-8-textWidth(d.YName, scale), chartField.Min.Y-25, d.YName, scale, black)
	c.text(chartField.Max.X-textWidth(d.XName, scale), chartField.Max.Y+38, d.XName, scale, black)
}

// steps returns where an axis has its numbers and their decimals; -1 means as
// many as they need.
func steps(a axis, limits [2]float64, logarithmic bool) ([]float64, int) {
	if !logarithmic {
		return a.ticks(10)
	}
	var values []float64
	for size := math.Pow(10, math.Floor(a.low)); size <= limits[1]; size *= 10 {
		for _, k := range []float64{1, 2, 5} {
			if v := k * size; v >= limits[0] && v <= limits[1] {
				values = append(values, v)
			}
		}
	}
	if len(values) > 12 {
		values = slices.DeleteFunc(values, func(v float64) bool {
			_, part := math.Modf(math.Log10(v) + 1e-9)
			return part > 0.01
		})
	}
	return values, -1
}
