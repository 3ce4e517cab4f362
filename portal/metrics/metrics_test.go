package metrics_test

import (
	"context"
	"math"
	"net/http/httptest"
	"testing"

	"ciglio/portal/metrics"
)

func TestTextFormat(t *testing.T) {
	h := metrics.Handler(func(_ context.Context, t *metrics.Text) {
		t.One("up", metrics.Gauge, "A \\ and\na line.", 0.5)
		t.Family("said_total", metrics.Counter, "Words.",
			metrics.Sample{Labels: []string{"word", "a\"b\\c\nd", "tongue", "it"}, Value: 1e15}, metrics.Sample{Labels: []string{"word", ""}, Value: math.Inf(1)})
		t.Family("none_total", metrics.Counter, "Nothing yet.")
	})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	const want = `# HELP up A \\ and\na line.
# TYPE up gauge
up 0.5
# HELP said_total Words.
# TYPE said_total counter
said_total{word="a\"b\\c\nd",tongue="it"} 1e+15
said_total{word=""} +Inf
# HELP none_total Nothing yet.
# TYPE none_total counter
`
	if got := w.Body.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, method := range []string{"POST", "PUT"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, "/metrics", nil))
		if w.Code != 405 {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
}
