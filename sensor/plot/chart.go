package plot

import (
	"fmt"
	"image"
	"io"
	"math"
	"slices"
	"strings"
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
// the axis X. What is no number is left out.
func (d Chart) WriteHistogram(w io.Writer, values []float64, n int) error {
	count := make([]float64, n)
	for _, v := range values {
		at := math.Floor((v - d.X[0]) / (d.X[1] - d.X[0]) * float64(n))
		if !math.IsNaN(at) {
			count[int(min(max(at, 0), float64(n-1)))]++
		}
	}
	x, y := d.axes()
	p := d.page()
	d.surround(p, x, y)
	wide := float64(chartField.Dx()) / float64(n)
	var b strings.Builder
	for i, k := range count {
		if k > 0 {
			fmt.Fprintf(&b, "M%.1f %dV%.1fh%.1fV%[2]d", float64(chartField.Min.X)+float64(i)*wide, chartField.Max.Y, y.at(d.y(k)), wide-1)
		}
	}
	p.add(`<path fill="%s" clip-path="url(#field)" d="%s"/>`, blue, b.String())
	return p.write(w)
}

// WritePoints writes points, and behind them the band between each value of
// band and its negative. The band is drawn from point to point.
func (d Chart) WritePoints(w io.Writer, points, band []XY) error {
	x, y := d.axes()
	p := d.page()
	var b strings.Builder
	for _, k := range band {
		fmt.Fprintf(&b, "%.1f,%.1f ", x.at(d.x(k.X)), y.at(d.y(k.Y)))
	}
	for _, k := range slices.Backward(band) {
		fmt.Fprintf(&b, "%.1f,%.1f ", x.at(d.x(k.X)), y.at(d.y(-k.Y)))
	}
	p.add(`<polygon fill="%s" clip-path="url(#field)" points="%s"/>`, paleBlue, b.String())
	d.surround(p, x, y)
	for _, outliers := range []bool{false, true} {
		size, colour := 2, blue
		if outliers {
			size, colour = 5, red
		}
		inner := chartField.Inset(size / 2)
		var at []image.Point
		for _, k := range points {
			if k.Red == outliers {
				px := pixel(x.at(d.x(k.X)), y.at(d.y(k.Y)))
				at = append(at, image.Pt(min(max(px.X, inner.Min.X), inner.Max.X), min(max(px.Y, inner.Min.Y), inner.Max.Y)))
			}
		}
		p.add(`<path stroke="%s" stroke-width="%d" stroke-linecap="round" d="%s"/>`, colour, size, dots(at))
	}
	return p.write(w)
}

func (d Chart) page() *page { return newPage(chartWidth, chartHeight, chartField, d.Title, "#fff") }

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

// surround draws the frame, the grid, the numbers and the names.
func (d Chart) surround(p *page, x, y axis) {
	p.text(chartField.Min.X, 16, "start", black, d.Title)
	var lines strings.Builder
	values, decimals := steps(x, d.X, d.LogX)
	for _, v := range values {
		at := x.at(d.x(v))
		fmt.Fprintf(&lines, "M%.1f %dV%d", at, chartField.Min.Y, chartField.Max.Y)
		p.text(int(math.Round(at)), chartField.Max.Y+18, "middle", black, number(v, decimals))
	}
	values, decimals = steps(y, d.Y, d.LogY)
	for _, v := range values {
		at := y.at(d.y(v))
		fmt.Fprintf(&lines, "M%d %.1fH%d", chartField.Min.X, at, chartField.Max.X)
		p.text(chartField.Min.X-8, int(math.Round(at)), "end", black, number(v, decimals))
	}
	p.add(`<path stroke="%s" d="%s"/>`, grid, lines.String())
	p.add(`<rect %s fill="none" stroke="%s"/>`, place(chartField), black)
	p.text(chartField.Min.X-8, chartField.Min.Y-20, "end", black, d.YName)
	p.text(chartField.Max.X, chartField.Max.Y+46, "end", black, d.XName)
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
