// Package metrics writes figures as Prometheus reads them: the text format, version
// 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/).
//
// It is a page of code because that is all there is to it: the figures are counted
// elsewhere, and read when somebody asks. The client library of Prometheus would bring
// its own registry of counters, protocol buffers and /proc along.
//
// A label has few values, known before: never a device, a plate, a name or a place.
package metrics

import (
	"bytes"
	"context"
	"net/http"
	"strconv"
	"strings"
)

// A Type is what a figure may do.
type Type string

// The types.
const (
	Counter Type = "counter" // rises, until the program starts anew; its name ends in _total
	Gauge   Type = "gauge"
)

// A Text is figures as they are written. One goroutine uses it.
type Text struct{ b bytes.Buffer }

// A Sample is one value, with labels by pairs of name and value.
type Sample struct {
	Labels []string
	Value  float64
}

// Family writes all samples of one name. The name is of letters, digits and
// underscores, and comes once.
func (t *Text) Family(name string, kind Type, help string, samples ...Sample) {
	t.b.WriteString("# HELP " + name + " " + strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(help) + "\n")
	t.b.WriteString("# TYPE " + name + " " + string(kind) + "\n")
	escape := strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
	for _, s := range samples {
		t.b.WriteString(name)
		for i := 0; i+1 < len(s.Labels); i += 2 {
			open := ","
			if i == 0 {
				open = "{"
			}
			t.b.WriteString(open + s.Labels[i] + `="` + escape.Replace(s.Labels[i+1]) + `"`)
		}
		if len(s.Labels) > 0 {
			t.b.WriteByte('}')
		}
		t.b.WriteString(" " + strconv.FormatFloat(s.Value, 'g', -1, 64) + "\n")
	}
}

// One writes a family of one value without labels.
func (t *Text) One(name string, kind Type, help string, value float64) {
	t.Family(name, kind, help, Sample{Value: value})
}

// Bool is 1 or 0.
func Bool(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Handler serves /metrics, collected anew for each who asks.
func Handler(collect func(context.Context, *Text)) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		var t Text
		collect(r.Context(), &t)
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Write(t.b.Bytes())
	})
	return mux
}
