package law_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"ciglio/portal/law"
)

func ask(t testing.TB, lines string) string {
	t.Helper()
	var out bytes.Buffer
	if err := italy(t).Answers(strings.NewReader(lines), &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct{ id, question, want string }{
		{
			"V21", `{"minimum_cents":4200,"maximum_cents":17300,"costs_cents":645,"reducible":true,"service":{"channel":"hand","delivered":"2024-05-07"},"at":"2024-05-12T21:59:59Z"}`,
			`{"served":"2024-05-07","rule":"hand.delivered","reduced":{"last_day":"2024-05-13","cents":3585},"minimum":{"last_day":"2024-07-06","cents":4845},"after":{"cents":9295},"prefect":{"last_day":"2024-07-06"},"judge":{"last_day":"2024-06-06"},"plan":{"last_day":"2024-06-06"},"driver":{"last_day":"2024-07-06"},"due":{"cents":3585,"band":"reduced","until":"2024-05-13T23:59:59+02:00"}}`,
		},
		{
			"V37 with a violation", `{"costs_cents":1300,"violation":{"limit":90,"speed":120,"class":"car","instant":"2026-10-01T23:30:00+02:00"},"service":{"channel":"pec","delivered":"2026-12-01T23:10:00+01:00"},"at":"2026-12-08T00:00:00+01:00"}`,
			`{"article":"142(8)","points":3,"served":"2026-12-01","rule":"pec.delivered","reduced":{"last_day":"2026-12-07","cents":17447},"minimum":{"last_day":"2027-01-30","cents":24367},"after":{"cents":47567},"prefect":{"last_day":"2027-01-30"},"judge":{"last_day":"2026-12-31"},"plan":{"last_day":"2026-12-31"},"driver":{"last_day":"2027-01-30"},"due":{"cents":24367,"band":"minimum","until":"2027-01-30T23:59:59+01:00"}}`,
		},
		{
			"no points, nobody is asked who drove; not nested", `{"limit":50,"speed":56,"class":"car","instant":"2026-10-01T12:00:00+02:00","service":{"channel":"hand","delivered":"2026-10-05"}}`,
			`{"article":"142(7)","points":0,"served":"2026-10-05","rule":"hand.delivered","reduced":{"last_day":"2026-10-10","cents":2940},"minimum":{"last_day":"2026-12-04","cents":4200},"after":{"cents":8650},"prefect":{"last_day":"2026-12-04"},"judge":{"last_day":"2026-11-04"},"plan":{"last_day":"2026-11-04"}}`,
		},
		{
			"no reduction", `{"costs_cents":0,"violation":{"limit":50,"speed":100,"class":"car","instant":"2026-10-01T12:00:00+02:00"},"service":{"channel":"hand","delivered":"2026-10-05"},"at":"2026-10-06T12:00:00+02:00"}`,
			`{"article":"142(9)","points":6,"served":"2026-10-05","rule":"hand.delivered","minimum":{"last_day":"2026-12-04","cents":54300},"after":{"cents":108500},"prefect":{"last_day":"2026-12-04"},"judge":{"last_day":"2026-11-04"},"plan":{"last_day":"2026-11-04"},"driver":{"last_day":"2026-12-04"},"due":{"cents":54300,"band":"minimum","until":"2026-12-04T23:59:59+01:00"}}`,
		},
		{
			"C68 no table: the terms are said", `{"violation":{"limit":50,"speed":60,"class":"car","instant":"2027-01-01T00:00:00+01:00"},"service":{"channel":"hand","delivered":"2027-02-01"},"at":"2027-02-02T12:00:00+01:00"}`,
			`{"served":"2027-02-01","rule":"hand.delivered","minimum":{"last_day":"2027-04-02"},"prefect":{"last_day":"2027-04-02"},"judge":{"last_day":"2027-03-03"},"plan":{"last_day":"2027-03-03"},"driver":{"last_day":"2027-04-02"},"error":"sanction.no_table","about":"no amounts of art. 142(7) for 2027-01-01"}`,
		},
		{
			"no table, and amounts", `{"minimum_cents":4900,"maximum_cents":20300,"violation":{"limit":50,"speed":60,"class":"car","instant":"2027-01-01T00:00:00+01:00"}}`,
			`{"reduced":{"cents":3430},"minimum":{"cents":4900},"after":{"cents":10150},"error":"sanction.no_table","about":"no amounts of art. 142(7) for 2027-01-01"}`,
		},
		{
			"not served", `{"minimum_cents":4200,"maximum_cents":17300,"reducible":true}`,
			`{"reduced":{"cents":2940},"minimum":{"cents":4200},"after":{"cents":8650},"error":"service.missing","about":"no term runs before service"}`,
		},
		{
			"2006: given amounts are answered", `{"minimum_cents":3600,"maximum_cents":14800,"reducible":true,"service":{"channel":"post","stored":"2006-10-09"}}`,
			`{"served":"2006-10-19","rule":"post.storage_tenth_day","reduced":{"last_day":"2006-10-24","cents":2520},"minimum":{"last_day":"2006-12-18","cents":3600},"after":{"cents":7400},"prefect":{"last_day":"2006-12-18"},"judge":{"last_day":"2006-12-18"},"driver":{"last_day":"2006-12-18"}}`,
		},
		{"amounts that a violation does not have", `{"minimum_cents":1,"maximum_cents":17300,"violation":{"limit":50,"speed":60,"class":"car","instant":"2026-01-01T00:00:00+01:00"}}`, `amounts.contradictory`},
		{"one amount", `{"minimum_cents":1}`, `amounts.range`},
		{"no amounts", `{"service":{"channel":"hand","delivered":"2027-02-01"}}`, `amounts.missing`},
		{"nothing to pay", `{"minimum_cents":0,"maximum_cents":0,"service":{"channel":"hand","delivered":"2026-02-20"}}`, `amounts.range`},
		{"costs below nothing", `{"minimum_cents":1,"maximum_cents":2,"costs_cents":-1}`, `amounts.range`},
		{
			"sums that cannot be: the terms are said", `{"minimum_cents":2,"maximum_cents":1,"service":{"channel":"hand","delivered":"2026-10-05"},"at":"2026-10-06T12:00:00+02:00"}`,
			`{"served":"2026-10-05","rule":"hand.delivered","reduced":{"last_day":"2026-10-10"},"minimum":{"last_day":"2026-12-04"},"prefect":{"last_day":"2026-12-04"},"judge":{"last_day":"2026-11-04"},"plan":{"last_day":"2026-11-04"},"driver":{"last_day":"2026-12-04"},"error":"amounts.range","about":"minimum 0.02, maximum 0.01, costs 0.00"}`,
		},
		{
			"a reduction that the violation does not have is not said", `{"reducible":true,"violation":{"limit":50,"speed":100,"class":"car","instant":"2026-10-01T12:00:00+02:00"}}`,
			`{"article":"142(9)","points":6,"minimum":{"cents":54300},"after":{"cents":108500},"error":"amounts.contradictory","about":"whether art. 142(9) is reducible"}`,
		},
		{"served before the violation", `{"violation":{"limit":50,"speed":60,"class":"car","instant":"2026-10-01T00:00:00+02:00"},"service":{"channel":"hand","delivered":"2026-09-30"}}`, `service.contradictory`},
		{"half a violation", `{"violation":{"limit":50,"speed":60}}`, `violation.missing`},
		{"two", `{"limit":50,"violation":{"limit":50,"speed":60,"class":"car","instant":"2026-01-01T00:00:00+01:00"}}`, `question.malformed`},
		{"a day that is none", `{"minimum_cents":1,"maximum_cents":2,"service":{"channel":"hand","delivered":"2026-02-30"}}`, `day.malformed`},
		{"no offset", `{"minimum_cents":1,"maximum_cents":2,"service":{"channel":"hand","delivered":"2026-02-20T10:00:00"}}`, `instant.malformed`},
		{"a day of seven letters", `{"minimum_cents":1,"maximum_cents":2,"service":{"channel":"hand","delivered":"2026-2-3"}}`, `day.malformed`},
		{"an empty day", `{"minimum_cents":1,"maximum_cents":2,"service":{"channel":"hand","delivered":""}}`, `day.malformed`},
		{"a day of a year that cannot be", `{"minimum_cents":1,"maximum_cents":2,"service":{"channel":"hand","delivered":"9999-12-31"}}`, `day.malformed`},
		{"an hour of one digit", `{"minimum_cents":1,"maximum_cents":2,"service":{"channel":"hand","delivered":"2026-02-20T9:00:00+01:00"}}`, `instant.malformed`},
		{"a decimal comma", `{"minimum_cents":1,"maximum_cents":2,"service":{"channel":"hand","delivered":"2026-02-20T09:00:00,5+01:00"}}`, `instant.malformed`},
		{"a number for a day", `{"minimum_cents":1,"maximum_cents":2,"service":{"channel":"hand","delivered":20260220}}`, `day.malformed`},
		{"at without its hour", `{"minimum_cents":1,"maximum_cents":2,"at":"2026-02-20"}`, `instant.malformed`},
		{"unknown key", `{"minimum":1}`, `question.malformed`},
		{"part of a cent", `{"minimum_cents":1.5,"maximum_cents":2}`, `question.malformed`},
		{"two values", `{} {}`, `question.malformed`},
		{"a brace too much", `{"minimum_cents":1,"maximum_cents":2}}`, `question.malformed`},
		{"a key in capitals", `{"Minimum_cents":1,"maximum_cents":2}`, `question.malformed`},
		{"a key twice", `{"minimum_cents":1,"minimum_cents":2,"maximum_cents":2}`, `question.malformed`},
		{"a key twice within", `{"minimum_cents":1,"maximum_cents":2,"service":{"channel":"hand","channel":"pec"}}`, `question.malformed`},
		{"a list", `[{}]`, `question.malformed`},
		{"a list within", `{"service":[{"channel":"hand"}]}`, `question.malformed`},
		{"null", `null`, `question.malformed`},
		{"no JSON", `minimum 42`, `question.malformed`},
		{"a year that cannot be", `{"minimum_cents":1,"maximum_cents":2,"at":"9999-12-31T23:59:59Z"}`, `instant.malformed`},
		{"before all rows", `{"minimum_cents":1,"maximum_cents":2,"service":{"channel":"hand","delivered":"1999-02-20"}}`, `term.no_row`},
		{"too long", `{"minimum_cents":` + strings.Repeat(" ", 70<<10) + `1}`, `question.malformed`},
	} {
		t.Run(c.id, func(t *testing.T) {
			got := strings.TrimSpace(ask(t, c.question+"\n"))
			if strings.HasPrefix(c.want, "{") {
				if got != c.want {
					t.Errorf("got\n%s\nwant\n%s", got, c.want)
				}
				return
			}
			var a struct{ Error string }
			if err := json.Unmarshal([]byte(got), &a); err != nil || a.Error != c.want {
				t.Errorf("got %s, want error %s", got, c.want)
			}
		})
	}
}

// TestAnswersGoOn answers each line, in order, whatever one of them is.
func TestAnswersGoOn(t *testing.T) {
	good := `{"minimum_cents":4200,"maximum_cents":17300}`
	lines := strings.Split(strings.TrimSpace(ask(t, good+"\n\nnonsense\n"+strings.Repeat("x", 200<<10)+"\n"+good)), "\n")
	if len(lines) != 4 || lines[0] != lines[3] || !strings.Contains(lines[1], "question.malformed") || !strings.Contains(lines[2], "longer than") {
		t.Errorf("answers: %.300q", lines)
	}
}

// TestEveryDayOfForty years: no last day is a holiday, none comes before that of an earlier
// service, and a term is at least its days long.
func TestEveryDayOfFortyYears(t *testing.T) {
	l := italy(t)
	for term, days := range map[law.Term]int{law.Reduced: 5, law.Minimum: 60, law.Prefect: 60, law.Judge: 30} {
		before := day(t, "2000-01-01")
		for d := day(t, "2012-01-01"); d.Year() < 2052; d = d.Add(1) {
			last, err := l.LastDay(term, d)
			switch {
			case err != nil:
				t.Fatal(err)
			case l.Holiday(last), term == law.Judge && last.Weekday() == time.Saturday:
				t.Fatalf("%s from %v ends on %v", term, d, last)
			case last.Before(before), last.Since(d) < days, last.Since(d) > days+50:
				t.Fatalf("%s from %v ends on %v, the day before on %v", term, d, last, before)
			}
			before = last
		}
	}
}

// TestDueChangesOnceAtEachEnd asks each hour of a case's life.
func TestDueChangesOnceAtEachEnd(t *testing.T) {
	l := italy(t)
	for _, served := range []string{"2026-03-24", "2026-10-20", "2026-12-20", "2028-02-27"} {
		f := law.Facts{Minimum: 17300, Maximum: 69400, Costs: 1300, Reducible: true, Served: day(t, served)}
		var bands []string
		var until time.Time
		for at := f.Served.Begin(); at.Before(f.Served.Add(90).Begin()); at = at.Add(30 * time.Minute) {
			d, err := l.Due(f, at)
			if err != nil {
				t.Fatal(err)
			}
			if len(bands) == 0 || bands[len(bands)-1] != string(d.Band) {
				if len(bands) > 0 && (at.Sub(until) != time.Second) {
					t.Errorf("served %s: %s ends at %v, %s begins at %v", served, bands[len(bands)-1], until, d.Band, at)
				}
				bands = append(bands, string(d.Band))
			}
			until = d.Until
		}
		if want := []string{"reduced", "minimum", "title"}; !slices.Equal(bands, want) {
			t.Errorf("served %s: %v", served, bands)
		}
	}
}

// TestCodesAreDocumented holds docs/law.md to the codes, classes and rules of the package.
func TestCodesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/law.md")
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile(`no\("([a-z_.]+)"|"((?:send|post)\.[a-z_]+)"`)
	found := 0
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		text, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range code.FindAllStringSubmatch(string(text), -1) {
			found++
			if name := m[1] + m[2]; !bytes.Contains(page, []byte("`"+name+"`")) {
				t.Errorf("docs/law.md does not name %s", name)
			}
		}
	}
	if found < 20 {
		t.Errorf("found %d codes only", found)
	}
	for _, name := range law.Classes() {
		if !bytes.Contains(page, []byte("`"+name+"`")) {
			t.Errorf("docs/law.md does not name class %s", name)
		}
	}
}

// FuzzAnswers asks anything: one answer a line, each of them JSON, and sums in order.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"minimum_cents":4200,"maximum_cents":17300,"costs_cents":645,"reducible":true,"service":{"channel":"send_paper","stored":"2024-05-07","viewed":"2024-05-12T21:00:00Z"},"at":"2024-05-12T21:59:59Z"}`))
	f.Add([]byte(`{"violation":{"limit":90,"speed":120,"class":"lorry","instant":"2026-10-01T23:30:00+02:00"}}`))
	f.Add([]byte("{}\n[]\n\"\"\nnull"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var out bytes.Buffer
		if err := italy(t).Answers(bytes.NewReader(text), &out); err != nil {
			t.Fatal(err)
		}
		asked := 0
		for _, line := range bytes.Split(text, []byte("\n")) {
			if len(bytes.TrimSpace(line)) > 0 {
				asked++
			}
		}
		dec := json.NewDecoder(&out)
		for range asked {
			var a struct {
				Reduced, Minimum, After struct {
					LastDay string `json:"last_day"`
					Cents   int64
				}
				Error string
			}
			if err := dec.Decode(&a); err != nil {
				t.Fatal(err)
			}
			if a.Reduced.Cents > a.Minimum.Cents || a.Reduced.LastDay > a.Minimum.LastDay {
				t.Errorf("out of order: %+v", a)
			}
		}
		if dec.More() {
			t.Error("more answers than questions")
		}
	})
}

func ExampleLaw_Answers() {
	l, err := law.Italy()
	if err != nil {
		fmt.Println(err)
		return
	}
	l.Answers(strings.NewReader(`{"minimum_cents":4200,"maximum_cents":17300,"costs_cents":645,"reducible":true}`), os.Stdout)
	// Output:
	// {"reduced":{"cents":3585},"minimum":{"cents":4845},"after":{"cents":9295},"error":"service.missing","about":"no term runs before service"}
}
