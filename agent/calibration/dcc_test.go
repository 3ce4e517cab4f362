package calibration_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ciglio/agent/calibration"
	"ciglio/agent/trust"
	"ciglio/sensor"
	"ciglio/sensor/sensortest/recording"
)

// A certificate as a laboratory for speed sensors would issue it.
const goodCertificate = `<?xml version="1.0" encoding="utf-8"?>
<dcc:digitalCalibrationCertificate xmlns:dcc="https://ptb.de/dcc" xmlns:si="https://ptb.de/si" schemaVersion="3.3.0">
 <dcc:administrativeData>
  <dcc:coreData>
   <dcc:uniqueIdentifier>A-117</dcc:uniqueIdentifier>
   <dcc:beginPerformanceDate>2026-01-08</dcc:beginPerformanceDate>
   <dcc:endPerformanceDate>2026-01-10</dcc:endPerformanceDate>
  </dcc:coreData>
  <dcc:items><dcc:item>
   <dcc:name><dcc:content lang="en">Radar</dcc:content></dcc:name>
   <dcc:identifications>
    <dcc:identification><dcc:issuer>manufacturer</dcc:issuer><dcc:value>S1</dcc:value></dcc:identification>
    <dcc:identification><dcc:issuer>customer</dcc:issuer><dcc:value>7</dcc:value></dcc:identification>
   </dcc:identifications>
  </dcc:item></dcc:items>
  <dcc:statements>
   <dcc:statement refType="basic_validityRange"><dcc:data>
    <dcc:quantity refType="basic_validityRangeMin"><si:real><si:value>20</si:value><si:unit>\kilo\metre\per\hour</si:unit></si:real></dcc:quantity>
    <dcc:quantity refType="basic_validityRangeMax"><si:real><si:value>250</si:value><si:unit>\kilo\metre\per\hour</si:unit></si:real></dcc:quantity>
   </dcc:data></dcc:statement>
   <dcc:statement refType="basic_recalibration"><dcc:date>2027-01-10</dcc:date></dcc:statement>
  </dcc:statements>
 </dcc:administrativeData>
 <dcc:measurementResults><dcc:measurementResult><dcc:results><dcc:result><dcc:data><dcc:list refType="gp_table1">
  <dcc:quantity refType="basic_referenceValue"><si:hybrid>
   <si:realListXMLList><si:valueXMLList>50.00 100.00 200.00</si:valueXMLList><si:unitXMLList>\kilo\metre\per\hour</si:unitXMLList></si:realListXMLList>
   <si:realListXMLList><si:valueXMLList>13.889 27.778 55.556</si:valueXMLList><si:unitXMLList>\metre\per\second</si:unitXMLList></si:realListXMLList>
  </si:hybrid></dcc:quantity>
  <dcc:quantity refType="basic_measuredValue"><si:realListXMLList><si:valueXMLList>50.05 99.80 200.30</si:valueXMLList><si:unitXMLList>\kilo\metre\per\hour</si:unitXMLList></si:realListXMLList></dcc:quantity>
  <dcc:quantity refType="basic_measurementError">
   <si:realListXMLList><si:valueXMLList>0.05 -0.20 0.30</si:valueXMLList><si:unitXMLList>\kilo\metre\per\hour</si:unitXMLList>
    <si:expandedUncXMLList><si:uncertaintyXMLList>0.31</si:uncertaintyXMLList><si:coverageFactorXMLList>2</si:coverageFactorXMLList></si:expandedUncXMLList>
   </si:realListXMLList>
   <dcc:measurementMetaData><dcc:metaData refType="basic_conformity"><dcc:conformityXMLList>pass</dcc:conformityXMLList></dcc:metaData></dcc:measurementMetaData>
  </dcc:quantity>
 </dcc:list></dcc:data></dcc:result></dcc:results></dcc:measurementResult></dcc:measurementResults>
</dcc:digitalCalibrationCertificate>
`

func TestACertificateIsRead(t *testing.T) {
	c, err := calibration.ParseCertificate([]byte(goodCertificate))
	if err != nil {
		t.Fatal(err)
	}
	if c.ID != "A-117" || c.Serial != "S1" || c.Lowest != 20_000 || c.Highest != 250_000 || len(c.Points) != 3 || c.Uncertainty() != 155 {
		t.Errorf("%+v", c)
	}
	if want := (calibration.Point{Reference: 100_000, Measured: 99_800, Error: -200, Uncertainty: 155}); c.Points[1] != want {
		t.Errorf("point %+v", c.Points[1])
	}
	if c.Covers(250*sensor.KmH) != nil || c.Covers(250*sensor.KmH+1) == nil {
		t.Error("the range is not what it says")
	}
	if s := c.String(); !strings.Contains(s, "error -0.200 km/h") {
		t.Error(s)
	}
	// The spelling of the units' schema 2.
	two := strings.NewReplacer("expandedUncXMLList>", "measurementUncertaintyUnivariateXMLList>", "<si:uncertaintyXMLList>", "<si:expandedMUXMLList><si:valueExpandedMUXMLList>",
		"</si:uncertaintyXMLList>", "</si:valueExpandedMUXMLList>", "</si:coverageFactorXMLList>", "</si:coverageFactorXMLList></si:expandedMUXMLList>").Replace(goodCertificate)
	if c, err := calibration.ParseCertificate([]byte(two)); err != nil || c.Uncertainty() != 155 {
		t.Errorf("schema 2: %v", err)
	}
}

func TestBadCertificates(t *testing.T) {
	deep := strings.Repeat("<dcc:x>", 50) + strings.Repeat("</dcc:x>", 50)
	for name, change := range map[string][2]string{
		"a document type":                   {`encoding="utf-8"?>`, `encoding="utf-8"?><!DOCTYPE x [<!ENTITY a "b">]>`},
		"an entity of its own":              {"A-117", "&a;"},
		"another encoding":                  {`encoding="utf-8"`, `encoding="utf-16"`},
		"of schema 2":                       {`"3.3.0"`, `"2.4.0"`},
		"of no schema":                      {` schemaVersion="3.3.0"`, ""},
		"of another namespace":              {"https://ptb.de/dcc", "https://example.org/dcc"},
		"something else":                    {"digitalCalibrationCertificate", "certificate"},
		"an attribute that stands twice":    {`refType="gp_table1"`, `refType="gp_table1" refType="x"`},
		"two roots":                         {"\n</dcc:digitalCalibrationCertificate>\n", "\n</dcc:digitalCalibrationCertificate><a/>"},
		"text behind it":                    {"</dcc:digitalCalibrationCertificate>\n", "</dcc:digitalCalibrationCertificate>x"},
		"cut off":                           {" </dcc:list>", ""},
		"folders in folders":                {"<dcc:coreData>", "<dcc:coreData>" + deep},
		"an endless text":                   {"A-117", strings.Repeat("A", 1<<17)},
		"two identifiers":                   {"<dcc:uniqueIdentifier>A-117</dcc:uniqueIdentifier>", "<dcc:uniqueIdentifier>A-117</dcc:uniqueIdentifier><dcc:uniqueIdentifier>B</dcc:uniqueIdentifier>"},
		"no identifier":                     {"<dcc:uniqueIdentifier>A-117</dcc:uniqueIdentifier>", ""},
		"an empty identifier":               {"A-117", " "},
		"a day that is none":                {"2026-01-10", "2026-02-30"},
		"ended before it began":             {"2026-01-08", "2026-01-11"},
		"two items":                         {"</dcc:item></dcc:items>", "</dcc:item><dcc:item/></dcc:items>"},
		"two serial numbers":                {"<dcc:issuer>customer</dcc:issuer>", "<dcc:issuer>manufacturer</dcc:issuer>"},
		"no serial number":                  {"<dcc:issuer>manufacturer</dcc:issuer>", "<dcc:issuer>owner</dcc:issuer>"},
		"no range":                          {`refType="basic_validityRange"`, ""},
		"half a range":                      {`refType="basic_validityRangeMax"`, ""},
		"a range upside down":               {"<si:value>20<", "<si:value>260<"},
		"a range in kelvin":                 {`<si:value>20</si:value><si:unit>\kilo\metre\per\hour<`, `<si:value>20</si:value><si:unit>\kelvin<`},
		"a number with a comma":             {"99.80", "99,80"},
		"a number in hexadecimal":           {"99.80", "0x63"},
		"a fraction":                        {"99.80", "998/10"},
		"infinity":                          {"99.80", "INF"},
		"a number of enormous size":         {"99.80", "1e999999999"},
		"faster than any":                   {"<si:value>250<", "<si:value>1e9<"},
		"a value too few":                   {"50.05 99.80 200.30", "50.05 99.80"},
		"no values":                         {"50.05 99.80 200.30", " "},
		"units that differ":                 {"27.778", "28.778"},
		"an error that is not the error":    {"-0.20", "0.20"},
		"no uncertainty":                    {"<si:expandedUncXMLList><si:uncertaintyXMLList>0.31</si:uncertaintyXMLList><si:coverageFactorXMLList>2</si:coverageFactorXMLList></si:expandedUncXMLList>", ""},
		"an uncertainty of 0":               {">0.31<", ">0<"},
		"an uncertainty below 0":            {">0.31<", ">-0.31<"},
		"no coverage factor":                {"<si:coverageFactorXMLList>2</si:coverageFactorXMLList>", ""},
		"a coverage factor below 1":         {"<si:coverageFactorXMLList>2<", "<si:coverageFactorXMLList>0.5<"},
		"too many uncertainties":            {">0.31<", ">0.31 0.31<"},
		"a point out of range":              {"<si:value>250<", "<si:value>199<"},
		"it did not pass":                   {">pass<", ">fail<"},
		"it passed on a condition":          {">pass<", ">pass conditionalPass pass<"},
		"a table of something else":         {`<si:realListXMLList><si:valueXMLList>50.05 99.80 200.30</si:valueXMLList><si:unitXMLList>\kilo\metre\per\hour`, `<si:realListXMLList><si:valueXMLList>50.05 99.80 200.30</si:valueXMLList><si:unitXMLList>\kelvin`},
		"two columns of one kind":           {`refType="basic_measuredValue"`, `refType="basic_measuredValue basic_referenceValue"`},
		"no table":                          {"<dcc:list", "<dcc:liste"},
		"an element that is not closed":     {"</dcc:coreData>", ""},
		"a prefix that nobody has declared": {"<dcc:items>", "<x:items>"},
	} {
		text := strings.Replace(goodCertificate, change[0], change[1], 1)
		if text == goodCertificate {
			t.Errorf("%s: changes nothing", name)
		}
		if strings.HasPrefix(change[0], "<dcc:list") {
			text = strings.Replace(text, "</dcc:list>", "</dcc:liste>", 1)
		}
		if c, err := calibration.ParseCertificate([]byte(text)); err == nil {
			t.Errorf("%s: read as %+v", name, c)
		} else if len(err.Error()) > 1000 {
			t.Errorf("%s: %d bytes of words", name, len(err.Error()))
		}
	}
}

func TestTheStatementMustSayWhatTheCertificateSays(t *testing.T) {
	c, err := calibration.ParseCertificate([]byte(goodCertificate))
	if err != nil {
		t.Fatal(err)
	}
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	good := trust.Calibration{ID: "A-117", Serial: "S1", NotBefore: time.Date(2026, 1, 10, 0, 0, 0, 0, rome), NotAfter: time.Date(2027, 1, 10, 23, 59, 59, 0, rome), Uncertainty: 100}
	for name, test := range map[string]struct {
		change func(*trust.Calibration)
		good   bool
	}{
		"the same":                   {func(*trust.Calibration) {}, true},
		"without a bound":            {func(s *trust.Calibration) { s.Uncertainty = 0 }, true},
		"a bound as wide":            {func(s *trust.Calibration) { s.Uncertainty = 16 }, true},
		"a narrower bound":           {func(s *trust.Calibration) { s.Uncertainty = 15 }, false},
		"another certificate":        {func(s *trust.Calibration) { s.ID = "A-118" }, false},
		"another sensor":             {func(s *trust.Calibration) { s.Serial = "S2" }, false},
		"in force before it is done": {func(s *trust.Calibration) { s.NotBefore = s.NotBefore.Add(-time.Second) }, false},
		"in force for too long":      {func(s *trust.Calibration) { s.NotAfter = s.NotAfter.Add(time.Second) }, false},
	} {
		s := good
		test.change(&s)
		if err := c.Agrees(&s); (err == nil) != test.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// PTB's own examples are well formed, and certificates of thermometers.
func TestPTBsExamplesAreNoCertificatesOfSpeed(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(filepath.Dir(recording.Path(t, "vectors/dcc/dcc_gp_temperature_typical_v12.xml")), "*.xml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, err = calibration.ParseCertificate(text)
		if err == nil || !strings.Contains(err.Error(), "want one speed") && !strings.Contains(err.Error(), "basic_validityRange") && !strings.Contains(err.Error(), "no table of speeds") {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
	}
}

func FuzzCertificate(f *testing.F) {
	f.Add([]byte(goodCertificate))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := calibration.ParseCertificate(text)
		if err != nil {
			return
		}
		if len(c.Points) == 0 || c.ID == "" || c.Serial == "" || c.Lowest >= c.Highest || c.Uncertainty() <= 0 {
			t.Errorf("%+v", c)
		}
		for _, p := range c.Points {
			if p.Reference < c.Lowest || p.Reference > c.Highest || p.Uncertainty <= 0 {
				t.Errorf("%+v", p)
			}
		}
	})
}
