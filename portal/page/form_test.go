package page_test

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"ciglio/portal/page"
)

// input has a handler of a host read a form.
func input(t testing.TB, values url.Values, read func(*page.Input)) page.Faults {
	t.Helper()
	host, err := page.New(page.Options{Name: "test", Layout: page.Staff, Title: "site.menu"})
	if err != nil {
		t.Fatal(err)
	}
	var faults page.Faults
	host.Handle("POST /", func(_ http.ResponseWriter, r *http.Request) error {
		in := page.Read(r)
		read(in)
		faults = in.Errors()
		return nil
	})
	r := httptest.NewRequest("POST", "http://127.0.0.1/", strings.NewReader(values.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	host.ServeHTTP(httptest.NewRecorder(), r)
	return faults
}

// fields reads every row of a table in one form.
func fields[T comparable](t *testing.T, read func(*page.Input, string) T, rows []struct {
	name, text string
	want       T
	code       string
}) {
	t.Helper()
	for _, row := range rows {
		var got T
		faults := input(t, url.Values{"x": {row.text}}, func(in *page.Input) { got = read(in, "x") })
		code := ""
		if len(faults) > 0 {
			code = faults[0].Code
			if faults[0].Field != "x" || len(faults) > 1 {
				t.Errorf("%s: faults %+v", row.name, faults)
			}
		}
		if got != row.want || code != row.code {
			t.Errorf("%s: %q is %v %q, want %v %q", row.name, row.text, got, code, row.want, row.code)
		}
	}
}

func TestDays(t *testing.T) {
	day := func(y int, m time.Month, d int) page.Date { return page.Date{Year: y, Month: m, Day: d} }
	fields(t, (*page.Input).Day, []struct {
		name, text string
		want       page.Date
		code       string
	}{
		{"as a browser sends it", "2026-12-07", day(2026, 12, 7), ""},
		{"as it is typed in Italy", "7/12/2026", day(2026, 12, 7), ""},
		{"as it is typed in Germany", "07.12.2026", day(2026, 12, 7), ""},
		{"with spaces", " 7. 12. 2026\u200b", day(2026, 12, 7), ""},
		{"a leap day", "29.2.2028", day(2028, 2, 29), ""},
		{"no leap year", "29.2.2026", page.Date{}, page.CodeDayUnreal},
		{"a century without leap day", "29.2.2100", page.Date{}, page.CodeDayUnreal},
		{"30 February", "30.02.2026", page.Date{}, page.CodeDayUnreal},
		{"month 13", "1.13.2026", page.Date{}, page.CodeDayUnreal},
		{"day 0", "0.12.2026", page.Date{}, page.CodeDayUnreal},
		{"year 0", "1.1.0000", page.Date{}, page.CodeDayUnreal},
		{"a year of two digits", "7.12.26", page.Date{}, page.CodeDayShape},
		{"words", "tomorrow", page.Date{}, page.CodeDayShape},
		{"two parts", "7.12", page.Date{}, page.CodeDayShape},
		{"a minus", "-7.12.2026", page.Date{}, page.CodeDayShape},
		{"a plus", "+7.12.2026", page.Date{}, page.CodeDayShape},
		{"eight digits", "07122026", page.Date{}, page.CodeDayShape},
		{"empty", " \u00a0", page.Date{}, page.CodeRequired},
	})
}

func TestInstantsAreOfThePlace(t *testing.T) {
	fields(t, func(in *page.Input, field string) string {
		at := in.Instant(field)
		if at.IsZero() {
			return ""
		}
		return at.UTC().Format(time.RFC3339)
	}, []struct{ name, text, want, code string }{
		{"winter", "2026-12-07T14:05", "2026-12-07T13:05:00Z", ""},
		{"summer, with seconds", "2026-07-01 00:00:59", "2026-06-30T22:00:59Z", ""},
		{"the last minute before summer time", "2026-03-29T01:59", "2026-03-29T00:59:00Z", ""},
		{"the hour that is left out", "2026-03-29T02:30", "", page.CodeInstantUnreal},
		{"the hour that comes twice: the first", "2026-10-25T02:30", "2026-10-25T00:30:00Z", ""},
		{"after it", "2026-10-25T03:00", "2026-10-25T02:00:00Z", ""},
		{"a day that is none", "2026-02-30T10:00", "", page.CodeInstantShape},
		{"a day alone", "2026-02-03", "", page.CodeInstantShape},
		{"before all that may be meant", "0001-01-01T00:49:56", "", page.CodeDayUnreal},
		{"after it", "2200-01-01T00:00", "", page.CodeDayUnreal},
	})
}

func TestAmounts(t *testing.T) {
	fields(t, (*page.Input).Cents, []struct {
		name, text string
		want       int64
		code       string
	}{
		{"Italian", "29,40", 2940, ""},
		{"English", "29.40", 2940, ""},
		{"thousands in Italian", "1.234,50", 123450, ""},
		{"thousands in English", "1,234.50", 123450, ""},
		{"thousands alone", "1.234", 123400, ""},
		{"millions", "12 345 678,90", 1234567890, ""},
		{"whole", "42", 4200, ""},
		{"none", "0", 0, ""},
		{"with its sign", "€ 29,40", 2940, ""},
		{"one digit of cents", "29,4", 0, page.CodeMoneyShape},
		{"three parts", "1.234.50", 0, page.CodeMoneyShape},
		{"mixed thousands", "1.234,567", 0, page.CodeMoneyShape},
		{"groups of two", "12.34.567", 0, page.CodeMoneyShape},
		{"a long first group", "1234.567", 0, page.CodeMoneyShape},
		{"nothing before", ",50", 0, page.CodeMoneyShape},
		{"negative", "-5,00", 0, page.CodeMoneyShape},
		{"an exponent", "1e3", 0, page.CodeMoneyShape},
		{"digits of elsewhere", "٣", 0, page.CodeMoneyShape},
		{"the most", "100000000,00", 100_000_000_00, ""},
		{"more", "100000000,01", 0, page.CodeMoneyLarge},
		{"without end", strings.Repeat("9", 400), 0, page.CodeMoneyLarge},
	})
}

func TestPlatesNumbersAndTexts(t *testing.T) {
	fields(t, (*page.Input).Plate, []struct{ name, text, want, code string }{
		{"as printed", "ab 012-cd", "AB012CD", ""},
		{"full width", "ＡB012CD", "", page.CodePlate},
		{"a letter of elsewhere", "АB012CD", "", page.CodePlate},
		{"short", "A", "", page.CodePlate},
		{"long", "AB012CDEFGH", "", page.CodePlate},
		{"none", "", "", page.CodeRequired},
	})
	fields(t, func(in *page.Input, field string) int { return in.Number(field, 10, 250) }, []struct {
		name, text string
		want       int
		code       string
	}{
		{"least", "10", 10, ""}, {"most", "250", 250, ""}, {"below", "9", 0, page.CodeNumberRange}, {"above", "251", 0, page.CodeNumberRange},
		{"a point", "10.5", 0, page.CodeNumberShape}, {"without end", strings.Repeat("9", 99), 0, page.CodeNumberRange}, {"empty", "", 0, page.CodeRequired},
	})
	fields(t, func(in *page.Input, field string) string { return in.Text(field, 5) }, []struct{ name, text, want, code string }{
		{"of people", "D’Ộ\nđ", "D’Ộ\nđ", ""}, {"too long", "123456", "", page.CodeLong}, {"a zero byte", "a\x00b", "", page.CodeLetters},
		{"no UTF-8", "\xff", "", page.CodeLetters}, {"lines of Windows", "a\r\nb", "a\nb", ""},
	})
	type outcome string
	fields(t, func(in *page.Input, field string) outcome {
		return page.Choice(in, field, []outcome{"accepted", "refused"})
	}, []struct {
		name, text string
		want       outcome
		code       string
	}{{"one of them", "refused", "refused", ""}, {"none of them", "other", "", page.CodeChoice}, {"nothing", "", "", page.CodeRequired}})
}

// A field that may be empty is asked about first.
func TestEmptyFieldsMayBe(t *testing.T) {
	faults := input(t, url.Values{"a": {""}}, func(in *page.Input) {
		if in.Given("a") || in.Given("b") {
			t.Error("an empty field is given")
		}
	})
	if faults != nil {
		t.Errorf("faults = %+v", faults)
	}
}

func TestFilesAreBoundedAndOfTheirKind(t *testing.T) {
	pdf := append([]byte("%PDF-1.7\n"), bytes.Repeat([]byte("x"), 1000)...)
	for _, test := range []struct {
		name, file string
		data       []byte
		code       string
	}{
		{"a PDF", `C:\letters\appeal.pdf`, pdf, ""},
		{"too large", "a.pdf", append(pdf, make([]byte, 5000)...), page.CodeFileLarge},
		{"larger than the form may be", "a.pdf", make([]byte, 200<<10), page.CodeLarge},
		{"a page that says it is a PDF", "a.pdf", []byte("<html><script>"), page.CodeFileKind},
		{"empty", "a.pdf", nil, page.CodeRequired},
	} {
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		w, err := form.CreateFormFile("file", test.file)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(test.data)
		form.WriteField("note", "hello")
		form.Close()
		host, err := page.New(page.Options{Name: "test", Layout: page.Staff, Title: "site.menu"})
		if err != nil {
			t.Fatal(err)
		}
		host.Handle("POST /", func(_ http.ResponseWriter, r *http.Request) error {
			in := page.ReadFiles(r, 8000)
			file, note := in.File("file", 5000, "application/pdf"), in.Text("note", 10)
			code := ""
			if faults := in.Errors(); len(faults) > 0 {
				code = faults[0].Code
			}
			if code != test.code || code == "" && (file.Name != "appeal.pdf" || !bytes.Equal(file.Data, test.data) || note != "hello") || code != "" && file.Data != nil {
				t.Errorf("%s: %+v, file %q", test.name, in.Errors(), file.Name)
			}
			return nil
		})
		r := httptest.NewRequest("POST", "http://127.0.0.1/", &body)
		r.Header.Set("Content-Type", form.FormDataContentType())
		host.ServeHTTP(httptest.NewRecorder(), r)
	}
}
