package simulate

import (
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestArithmeticIsTrue(t *testing.T) {
	check := func(name string, got, want, within float64) {
		t.Helper()
		if math.Abs(got-want) > within {
			t.Errorf("%s = %.17g, want %.17g", name, got, want)
		}
	}
	for n := -4000; n <= 4000; n++ {
		x := float64(float64(n) * 0.01237) // rounded, for all alike
		s, c := sincos(x)
		ws, wc := math.Sincos(2 * math.Pi * (x - math.Round(x)))
		check("sine", s, ws, 2e-15)
		check("cosine", c, wc, 2e-15)
		check("exp", exp(x)/math.Exp(x), 1, 2e-14)
		if n != 0 {
			check("log", log(math.Abs(x)), math.Log(math.Abs(x)), 2e-15)
		}
		y := math.Sin(float64(n))
		check("atan2", atan2(y, x), math.Atan2(y, x)*180/math.Pi, 1e-12)
		s, c = little(x / 60 / 50)
		ws, wc = math.Sincos(2 * math.Pi * x / 60 / 50)
		check("little sine", s, ws, 1e-9)
		check("little cosine", c, wc, 1e-9)
	}
	check("exp of 0", exp(0), 1, 0)
	check("atan2 behind", atan2(0, -1), 180, 0)
	check("atan2 of nothing", atan2(0, 0), 0, 0)
	check("sine far away", first(sincos(123456789.25)), 1, 0)
}

func first(a, _ float64) float64 { return a }

func TestNormalNumbersAreNormal(t *testing.T) {
	const n = 4_000_000
	r := newNormal(1)
	var moments [5]float64
	beyond := map[float64]int{1: 0, 2: 0, 3: 0, 3.7: 0, 4.5: 0}
	for range n {
		x := r.next()
		p := 1.0
		for k := range moments {
			moments[k] += p / n
			p *= x
		}
		for limit := range beyond {
			if math.Abs(x) > limit {
				beyond[limit]++
			}
		}
	}
	for k, want := range []float64{1, 0, 1, 0, 3} {
		if math.Abs(moments[k]-want) > 0.01 {
			t.Errorf("moment %d is %.4f, want %.0f", k, moments[k], want)
		}
	}
	for limit, got := range beyond {
		want := n * math.Erfc(limit/math.Sqrt2)
		if off := math.Abs(float64(got) - want); off > 5*math.Sqrt(want) {
			t.Errorf("%d of %d beyond %g, want about %.0f", got, n, limit, want)
		}
	}
}

// exact lists the functions of package math whose results do not depend on the
// processor.
var exact = map[string]bool{
	"Abs": true, "Floor": true, "RoundToEven": true, "Sqrt": true, "Frexp": true, "Ldexp": true, "Inf": true, "IsInf": true,
	"Float64bits": true, "Float64frombits": true,
}

func TestMathIsTheSameEverywhere(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	set := token.NewFileSet()
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if s, ok := call.Fun.(*ast.SelectorExpr); ok {
				if p, ok := s.X.(*ast.Ident); ok && p.Name == "math" && !exact[s.Sel.Name] {
					t.Errorf("%v: math.%s may round differently on another processor", set.Position(call.Pos()), s.Sel.Name)
				}
				if s.Sel.Name == "NormFloat64" || s.Sel.Name == "ExpFloat64" {
					t.Errorf("%v: %s may round differently on another processor", set.Position(call.Pos()), s.Sel.Name)
				}
			}
			return true
		})
	}
}

// TestNothingIsFused reads what the compiler makes of this package for a
// processor with fused multiply-add.
func TestNothingIsFused(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil || testing.Short() && os.Getenv("CIGLIO_EXEC") != "" {
		t.Skip("needs the Go command")
	}
	build := exec.Command("go", "build", "-gcflags=-S", ".")
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	listing, err := build.CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%.2000s", err, listing)
	}
	if !strings.Contains(string(listing), "FMULD") {
		t.Fatal("the listing holds no multiplication: this test sees nothing")
	}
	fused := regexp.MustCompile(`\(([^()]*/)?([a-z]+\.go:\d+)\)\s+FN?M(ADD|SUB)[DS]\b`)
	seen := map[string]bool{}
	for _, m := range fused.FindAllStringSubmatch(string(listing), -1) {
		if !seen[m[2]] {
			seen[m[2]] = true
			t.Errorf("%s: a product and a sum are fused", m[2])
		}
	}
}
