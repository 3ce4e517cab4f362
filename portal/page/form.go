package page

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Codes of what is wrong in a form: keys of its words.
const (
	CodeRequired      = "form.required"
	CodeLong          = "form.long" // argument most:count
	CodeLetters       = "form.letters"
	CodeChoice        = "form.choice"
	CodeDayShape      = "form.day.shape"
	CodeDayUnreal     = "form.day.unreal"
	CodeInstantShape  = "form.instant.shape"
	CodeInstantUnreal = "form.instant.unreal" // the hour that summer time leaves out
	CodeMoneyShape    = "form.money.shape"
	CodeMoneyLarge    = "form.money.large"
	CodeNumberShape   = "form.number.shape"
	CodeNumberRange   = "form.number.range" // arguments least:count, most:count
	CodePlate         = "form.plate.shape"
	CodeFileLarge     = "form.file.large" // argument most:count, in kB
	CodeFileKind      = "form.file.kind"
	CodeKey           = "form.key"
	CodeUnreadable    = "form.unreadable"
	CodeLarge         = "form.large"
)

// A Fault is what is wrong with one field of a form, or with the form: then Field is
// empty. Code is the key of its words.
type Fault struct {
	Field, Code string
	Args        []any
}

// Faults are all that is wrong with a form, in the order of its fields.
type Faults []Fault

// Refused returns what an error says to the reader: one that has a code, as that of
// casefile.Apply. Of any other error it returns nil.
func Refused(err error) Faults {
	var refusal interface {
		error
		Refusal() (code string, args []any)
	}
	if !errors.As(err, &refusal) {
		return nil
	}
	code, args := refusal.Refusal()
	return Faults{{Code: code, Args: args}}
}

// A Date is a civil day. The zero Date is none.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// Zero reports whether d is no day.
func (d Date) Zero() bool { return d == Date{} }

// String prints 2026-12-07.
func (d Date) String() string {
	return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
}

// An Upload is a file of a form. What it says it is counts for nothing.
type Upload struct {
	Name string // without folders; as the sender's browser gave it
	Data []byte
}

// An Input is a form as it was sent. Its methods read one field each, gather what is
// wrong, and return the zero value for that and for a field that is empty: an empty field
// is wrong, but for those that [Input.Given] was asked about. It is for one goroutine.
type Input struct {
	values map[string][]string
	files  map[string][]*multipart.FileHeader
	zone   *time.Location
	faults Faults
}

// Bounds of what is sent.
const (
	maxForm = 64 << 10
	maxText = 4000 // characters of a field
)

// Read reads the form of a request: at most 64 KiB, or for GET the query.
func Read(r *http.Request) *Input { return read(r, maxForm) }

// ReadFiles is [Read] of a form with files, of at most so many bytes in all. What was
// read is in memory.
func ReadFiles(r *http.Request, most int64) *Input {
	r.Body = http.MaxBytesReader(nil, r.Body, most+maxForm)
	if err := r.ParseMultipartForm(most + 2*maxForm); err != nil && !errors.Is(err, http.ErrNotMultipart) {
		return unreadable(r, err)
	}
	in := read(r, maxForm)
	if r.MultipartForm != nil {
		in.files = r.MultipartForm.File
	}
	return in
}

func read(r *http.Request, most int64) *Input {
	if r.PostForm == nil && r.Body != nil {
		r.Body = http.MaxBytesReader(nil, r.Body, most)
	}
	if err := r.ParseForm(); err != nil {
		return unreadable(r, err)
	}
	in := &Input{values: r.PostForm, zone: zoneOf(r)}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		in.values = r.Form
	}
	return in
}

func unreadable(r *http.Request, err error) *Input {
	code := CodeUnreadable
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		code = CodeLarge
	}
	return &Input{zone: zoneOf(r), faults: Faults{{Code: code}}}
}

// Errors returns everything that is wrong; nil when nothing is.
func (in *Input) Errors() Faults { return in.faults }

// Fault adds what the caller finds wrong with a field.
func (in *Input) Fault(field, code string, args ...any) {
	in.faults = append(in.faults, Fault{field, code, args})
}

// Given reports whether a field is not empty: it is asked before a field is read that
// need not be filled.
func (in *Input) Given(field string) bool { return in.raw(field) != "" }

// raw is a field without spaces about it.
func (in *Input) raw(field string) string {
	values := in.values[field]
	if len(values) == 0 {
		return ""
	}
	return strings.TrimFunc(values[0], func(r rune) bool {
		return unicode.IsSpace(r) || strings.ContainsRune("\u200b\u200c\u200d\u2060\ufeff", r)
	})
}

// filled returns a field that must not be empty, and whether anything can be read of it.
func (in *Input) filled(field string) (string, bool) {
	text := in.raw(field)
	if text == "" && (len(in.faults) == 0 || in.faults[0].Code != CodeUnreadable && in.faults[0].Code != CodeLarge) {
		in.Fault(field, CodeRequired)
	}
	return text, text != ""
}

// Text is a field of at most so many characters, in one line or several, as it was
// written but for spaces about it. Letters that no text has, such as the zero byte, are
// wrong.
func (in *Input) Text(field string, most int) string {
	text, ok := in.filled(field)
	text = strings.ReplaceAll(text, "\r\n", "\n")
	switch {
	case !ok:
		return ""
	case !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }):
		in.Fault(field, CodeLetters)
	case utf8.RuneCountInString(text) > min(most, maxText):
		in.Fault(field, CodeLong, "most", min(most, maxText))
	default:
		return text
	}
	return ""
}

// Choice is one of the values that a field may have.
func Choice[T ~string](in *Input, field string, among []T) T {
	text, ok := in.filled(field)
	if !ok || slices.Contains(among, T(text)) {
		return T(text)
	}
	in.Fault(field, CodeChoice)
	return ""
}

// Checked reports whether a box was ticked.
func (in *Input) Checked(field string) bool { return in.raw(field) != "" }

// Day is a civil day: 2026-12-07, as browsers send it, or 7.12.2026 or 7/12/2026, as
// people type it; the years are 1900 to 2199, as those of an instant.
func (in *Input) Day(field string) Date {
	text, ok := in.filled(field)
	if !ok {
		return Date{}
	}
	d, code := parseDate(text)
	if code != "" {
		in.Fault(field, code)
	}
	return d
}

func parseDate(text string) (Date, string) {
	split := func(r rune) bool { return r == '.' || r == '/' || r == '-' }
	parts := strings.FieldsFunc(text, func(r rune) bool { return split(r) || r == ' ' })
	separators := strings.Count(text, ".") + strings.Count(text, "/") + strings.Count(text, "-")
	if len(parts) != 3 || separators != 2 {
		return Date{}, CodeDayShape
	}
	if len(parts[0]) == 4 {
		parts[0], parts[2] = parts[2], parts[0]
	}
	var n [3]int
	for i, part := range parts {
		v, err := strconv.ParseUint(part, 10, 16)
		if err != nil || len(part) > 2 && i < 2 || len(part) != 4 && i == 2 {
			return Date{}, CodeDayShape
		}
		n[i] = int(v)
	}
	d := Date{n[2], time.Month(n[1]), n[0]}
	t := time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC)
	if (Date{t.Year(), t.Month(), t.Day()}) != d || d.Year < 1900 || d.Year > 2199 {
		return Date{}, CodeDayUnreal
	}
	return d, ""
}

// Instant is a local time of the place to the minute or second: 2026-12-07T14:05, as
// browsers send it. A time that summer time leaves out is wrong; of the hour that it
// repeats the first counts.
func (in *Input) Instant(field string) time.Time {
	text, ok := in.filled(field)
	if !ok {
		return time.Time{}
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05"} {
		wall, err := time.Parse(layout, strings.Replace(text, " ", "T", 1))
		if err != nil {
			continue
		}
		if wall.Year() < 1900 || wall.Year() > 2199 {
			in.Fault(field, CodeDayUnreal)
			return time.Time{}
		}
		t := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, in.zone)
		if t.Format(layout) != wall.Format(layout) {
			in.Fault(field, CodeInstantUnreal)
			return time.Time{}
		}
		if earlier := t.Add(-time.Hour); earlier.Format(layout) == wall.Format(layout) {
			return earlier
		}
		return t
	}
	in.Fault(field, CodeInstantShape)
	return time.Time{}
}

// maxCents is more than any sanction: a hundred million euro.
const maxCents = 100_000_000_00

// Cents is an amount of euro in hundredths, never negative: 29, 29.40, 1.234,50 or
// 1,234.50. Two digits after the last point or comma are cents, three are thousands;
// one is wrong.
func (in *Input) Cents(field string) int64 {
	text, ok := in.filled(field)
	if !ok {
		return 0
	}
	cents, code := parseCents(text)
	if code != "" {
		in.Fault(field, code)
	}
	return cents
}

func parseCents(text string) (int64, string) {
	text = strings.Trim(strings.Trim(text, "€"), " \u00a0\u202f")
	whole, rest := text, "00"
	if at := strings.LastIndexAny(text, ".,"); at >= 0 && len(text)-at == 3 {
		whole, rest = text[:at], text[at+1:]
		if strings.ContainsRune(whole, rune(text[at])) { // 1.234.50
			return 0, CodeMoneyShape
		}
	}
	groups := strings.FieldsFunc(whole, func(r rune) bool { return r == '.' || r == ',' || r == '\'' || r == ' ' || r == '\u00a0' })
	for i, group := range groups {
		if i > 0 && len(group) != 3 || len(groups) > 1 && (len(group) > 3 || len(group) == 0) {
			return 0, CodeMoneyShape
		}
	}
	separators := len([]rune(whole)) - len([]rune(strings.Join(groups, "")))
	if len(groups) == 0 || separators != len(groups)-1 || strings.Contains(whole, ".") && strings.Contains(whole, ",") {
		return 0, CodeMoneyShape
	}
	digits := strings.Join(groups, "") + rest
	if strings.Trim(digits, "0123456789") != "" {
		return 0, CodeMoneyShape
	}
	digits = strings.TrimLeft(digits, "0")
	if len(digits) > 13 {
		return 0, CodeMoneyLarge
	}
	v, _ := strconv.ParseInt("0"+digits, 10, 64)
	if v > maxCents {
		return 0, CodeMoneyLarge
	}
	return v, ""
}

// Number is a whole number from least to most.
func (in *Input) Number(field string, least, most int) int {
	text, ok := in.filled(field)
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(text)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange):
		in.Fault(field, CodeNumberShape)
	case err != nil || n < least || n > most:
		in.Fault(field, CodeNumberRange, "least", least, "most", most)
	default:
		return n
	}
	return 0
}

// Plate is a plate as it is compared: capitals and digits alone, 2 to 10 of them. Spaces,
// hyphens and dots between them are left out. Which vehicle it may be is not for a form.
func (in *Input) Plate(field string) string {
	text, ok := in.filled(field)
	if !ok {
		return ""
	}
	plate := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r), r == '-', r == '.', r == '·':
			return -1
		case r >= '０' && r <= '９':
			return r - '０' + '0'
		}
		return unicode.ToUpper(r)
	}, text)
	if len(plate) < 2 || len(plate) > 10 || strings.Trim(plate, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
		in.Fault(field, CodePlate)
		return ""
	}
	return plate
}

// File is a file of at most so many bytes whose first bytes are those of one of the
// media types, such as "application/pdf".
func (in *Input) File(field string, most int64, media ...string) Upload {
	files := in.files[field]
	if len(files) == 0 || files[0].Size == 0 {
		in.filled(field)
		return Upload{}
	}
	if files[0].Size > most {
		in.Fault(field, CodeFileLarge, "most", int(most/1000))
		return Upload{}
	}
	f, err := files[0].Open()
	if err != nil {
		in.Fault(field, CodeUnreadable)
		return Upload{}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil || int64(len(data)) != files[0].Size {
		in.Fault(field, CodeUnreadable)
		return Upload{}
	}
	kind, _, _ := strings.Cut(http.DetectContentType(data), ";")
	if !slices.Contains(media, kind) {
		in.Fault(field, CodeFileKind)
		return Upload{}
	}
	name := files[0].Filename
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	return Upload{Name: strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, name), Data: data}
}

// keyField is the name of the field with the key of a form.
const keyField = "key"

// Key is the form's own, made with its page: what is done under it is done once, however
// often the form is sent. One that is not of its shape is wrong.
func (in *Input) Key() string {
	key := in.raw(keyField)
	if b, err := hex.DecodeString(key); err != nil || len(b) != keySize || strings.ToLower(key) != key {
		in.Fault("", CodeKey)
		return ""
	}
	return key
}

const keySize = 16

func newKey() string {
	var b [keySize]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
