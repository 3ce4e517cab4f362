package plate

import "regexp"

// A Format is a national pattern of plates.
type Format string

// Italian formats. Several may fit one plate: CC, CD and EE followed by three digits and two letters were
// also given to cars, and only the colour of the picture tells them apart.
const (
	Car          Format = "car"          // since 1994: DPR 495/1992, art. 257; of trailers since 2013 with X
	Motorcycle   Format = "motorcycle"   // since 1999; trailers of 1994 to 2013 alike
	Moped        Format = "moped"        // since 2006: DPR 153/2006
	Agricultural Format = "agricultural" // machines
	Provincial   Format = "provincial"   // of before 1994, with the province
	Trial        Format = "trial"        // for vehicles on trial
	Diplomatic   Format = "diplomatic"   // CC, CD, UNP
	Visitor      Format = "visitor"      // EE
	Police       Format = "police"       // State police
	Armed        Format = "armed"        // Carabinieri, Army, Navy, Air force, Finance police, coast guard
	FireBrigade  Format = "fire brigade"
	RedCross     Format = "red cross"
	State        Format = "state" // forest corps, civil protection
)

// Foreign is that of every other country: shape alone.
const Foreign Format = "foreign"

// Italy is the country whose formats are known, as elsewhere ISO 3166-1 in small letters.
const Italy = "it"

// letter is one that plates since 1994 use: none of I, O, Q, U.
const letter = `[A-HJ-NPR-TV-Z]`

// province is what plates of before 1994 begin with.
const province = `(?:ROMA|AG|AL|AN|AO|AP|AQ|AR|AT|AV|BA|BG|BI|BL|BN|BO|BR|BS|BZ|CA|CB|CE|CH|CL|CN|CO|CR|CS|CT|CZ|EN|FC|FE|FG|FI|FO|FR|` +
	`GE|GO|GR|IM|IS|KR|LC|LE|LI|LO|LT|LU|MC|ME|MI|MN|MO|MS|MT|NA|NO|NU|OR|PA|PC|PD|PE|PG|PI|PN|PO|PR|PS|PT|PU|PV|PZ|` +
	`RA|RC|RE|RG|RI|RN|RO|SA|SI|SO|SP|SR|SS|SV|TA|TE|TN|TO|TP|TR|TS|TV|UD|VA|VB|VC|VE|VI|VR|VT|VV)`

// italian are the patterns in the order in which they are named.
var italian = []struct {
	format  Format
	pattern *regexp.Regexp
}{
	{Car, regexp.MustCompile(`^` + letter + `{2}[0-9]{3}` + letter + `{2}$`)},
	{Motorcycle, regexp.MustCompile(`^` + letter + `{2}[0-9]{5}$`)},
	{Moped, regexp.MustCompile(`^X[0-9B-DF-HJ-NP-TV-Z]{5}$`)},
	{Agricultural, regexp.MustCompile(`^` + letter + `{2}[0-9]{3}` + letter + `$`)},
	{Provincial, regexp.MustCompile(`^` + province + `(?:[0-9]{1,6}|[A-Z][0-9]{5}|[0-9][A-Z][0-9]{4}|[0-9]{5}[A-Z])$`)},
	{Trial, regexp.MustCompile(`^[A-Z0-9]{2}P[0-9]{5}$`)},
	{Diplomatic, regexp.MustCompile(`^(?:CC|CD)[0-9]{3,5}[A-Z]{2}$|^UNP[0-9]{3}[A-Z]{2}$`)},
	{Visitor, regexp.MustCompile(`^EE[0-9]{3}[A-Z]{2}$`)},
	{Police, regexp.MustCompile(`^POLIZIA[A-Z0-9][0-9]{4}$`)},
	{Armed, regexp.MustCompile(`^(?:CC|EI|MM|AM)[A-Z]{2}[0-9]{3}$|^GDIF[0-9]{3}[A-Z]{2}$|^CP[0-9]{4}$`)},
	{FireBrigade, regexp.MustCompile(`^VF[0-9]{5}$`)},
	{RedCross, regexp.MustCompile(`^CRI(?:[0-9]{3}[A-Z]{2}|[A-Z][0-9]{3}[A-Z]|[0-9]{5})$`)},
	{State, regexp.MustCompile(`^(?:CFS|CFP|PC|DPC)[0-9]{3}[A-Z]{2}$|^DPC[A-Z][0-9]{4}$`)},
}

var foreign = regexp.MustCompile(`^[A-Z0-9` + marked + `]{2,10}$`)

// Formats returns the formats of a country, [Italy] or another, that a plate fits.
func Formats(country string, p Plate) []Format { return formatsOf(country, p.Reveal()) }

func formatsOf(country, text string) (fit []Format) {
	if country != Italy {
		if foreign.MatchString(text) {
			return []Format{Foreign}
		}
		return nil
	}
	for _, f := range italian {
		if f.pattern.MatchString(text) {
			fit = append(fit, f.format)
		}
	}
	return fit
}
