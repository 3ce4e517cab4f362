// Package csr drives the Doppler radars of Chuansu Microwave, sold by Hikvision
// as CSR-I and others and copied by several makers: a serial line with 9,600
// baud, 8 data bits and no parity.
//
// Nothing on this wire has a check sum: a wrong byte looks like a right one. So
// [sensor.Identity.Unchecked] is set, and a passage counts only with a
// consistent run of readings and a second speed. The radar has neither range nor
// angle and one target at a time, the speed is in whole km/h, and whether it is
// rounded or cut the manual does not say.
//
// # Reports
//
// The driver sets the data format 1, in which a report is two bytes:
//
//	byte  value
//	   0  f9 approaching, f8 receding, f7 direction not known
//	   1  speed in km/h, 02 to f0; 00 sees nothing
//
// No speed is a direction and no direction a speed, so the reports that follow
// garbage are found again. In the continuous mode, which must be set, one comes
// every 26 ms. For example
//
//	f9 7d f9 7c f7 00   approaching at 125 km/h, at 124 km/h, nothing
//
// After a start the radar sends fe fd fd fe.
//
// # Commands
//
// A command is fa, the command, two parameters, fb. An answer is fa, 30 plus the
// number of the bytes that follow but for the last, those bytes, fb. Of the
// commands this driver uses
//
//	fa 31 30 30 fb  begin set-up; reports stop
//	fa 38 31 30 fb  data format 1
//	fa 3d 34 30 fb  read the settings
//	fa 3f 30 30 fb  read the software version
//	fa 32 30 30 fb  end set-up; reports begin
//
// the first, second and last are answered by fa 32 30 xx fb, with 31 in place of
// the 30 when it failed; the settings by
//
//	fa 3d xx  aa bb cc dd ee ff gg  rr rr rr rr rr  fb
//
// where aa is the work mode, bb the upper limit of the TTL trigger, cc the angle
// correction, dd the sensitivity, ee the data format, ff the lower limit of
// speeds in km/h, gg the threshold of speed jumps and rr reserved; and the
// version by fa 3n 30, n-1 bytes of ASCII, fb.
//
// # Sources
//
// Hikvision, CSR-I series user manual, chapter 3 (reports, commands 1, 2 and 8
// to 13); Beijing Chuansu Microwave, radar communication protocol, general
// edition of 26 December 2012 (overview, commands 1 and 2); the code of the data
// format, 38, is from a public driver. Not confirmed: the codes that set work
// mode and angle correction, which this driver therefore does not send, and the
// form of their values. Set both with the maker's program: the mode to
// continuous, the angle correction to 0, and save. The driver accepts only the
// byte 00 as angle correction 0, and sees by the reports that the mode is
// continuous. The radar tells no serial number; that of the configuration stands
// for it.
package csr

import (
	"errors"
	"fmt"
	"strings"

	"ciglio/sensor"
	"ciglio/sensor/framing"
	"ciglio/sensor/session"
)

const (
	toward, away, unknown = 0xf9, 0xf8, 0xf7

	lowest, highest = 2, 240 // km/h

	begin, end   = 0xfa, 0xfb
	maxFrame     = 18
	settingsSize = 16
)

// A Report is what the radar says at one instant.
type Report struct {
	Direction sensor.Direction
	Speed     sensor.Speed // whole km/h along the line of sight, 2 to 240; 0 when nothing is seen
}

// Parse reads the two bytes of a report.
func Parse(b []byte) (Report, error) {
	if len(b) != 2 || b[0] >= 0xfd {
		return Report{}, errors.New("csr: no report")
	}
	if _, v := judgeReport(b); v != framing.Good {
		return Report{}, errors.New("csr: no report")
	}
	r := Report{Speed: sensor.Speed(b[1]) * sensor.KmH}
	switch b[0] {
	case toward:
		r.Direction = sensor.Approaching
	case away:
		r.Direction = sensor.Receding
	}
	return r, nil
}

// judgeReport finds reports, and the bytes of a start, for package framing.
func judgeReport(b []byte) (int, framing.Verdict) {
	direction := b[0] == toward || b[0] == away || b[0] == unknown
	if !direction && b[0] != 0xfe && b[0] != 0xfd {
		return 1, framing.Skip
	}
	if len(b) < 2 {
		return 0, framing.More
	}
	switch {
	case !direction:
		if b[0]^b[1] != 0xfe^0xfd {
			return 1, framing.Skip
		}
	case b[1] != 0 && (b[1] < lowest || b[1] > highest):
		return 1, framing.Broken
	}
	return 2, framing.Good
}

// judgeAnswer finds answers to commands.
func judgeAnswer(b []byte) (int, framing.Verdict) {
	if b[0] != begin {
		return 1, framing.Skip
	}
	if len(b) < 2 {
		return 0, framing.More
	}
	n := int(b[1]) - 0x30
	if n < 1 || n > 15 {
		return 1, framing.Broken
	}
	if len(b) < n+3 {
		return 0, framing.More
	}
	if b[n+2] != end {
		return 1, framing.Broken
	}
	return n + 3, framing.Good
}

// judgeSetUp finds both. A report begins with no byte that begins an answer.
func judgeSetUp(b []byte) (int, framing.Verdict) {
	if b[0] == begin {
		return judgeAnswer(b)
	}
	return judgeReport(b)
}

// Settings are those that the radar reads back.
type Settings struct {
	Mode, Trigger, Angle, Sensitivity, Format, Lowest, Jump byte
	Version                                                 string // of the software
}

func parseSettings(answer []byte) (Settings, error) {
	if len(answer) != settingsSize {
		return Settings{}, fmt.Errorf("csr: settings of %d bytes, want %d", len(answer), settingsSize)
	}
	p := answer[3:]
	return Settings{Mode: p[0], Trigger: p[1], Angle: p[2], Sensitivity: p[3], Format: p[4], Lowest: p[5], Jump: p[6]}, nil
}

// check says which setting is not as it must be.
func (s Settings) check(line *session.Session) error {
	if err := line.Compare("angle correction", hex(s.Angle), hex(0)); err != nil {
		return err
	}
	if s.Format == 1 {
		return nil
	}
	return line.Compare("data format", hex(s.Format), hex('1'))
}

// text is the canonical text of the settings.
func (s Settings) text() []byte {
	return session.Settings{
		"angle": hex(s.Angle), "format": hex(s.Format), "jump": hex(s.Jump), "lowest": hex(s.Lowest), "mode": hex(s.Mode),
		"sensitivity": hex(s.Sensitivity), "trigger": hex(s.Trigger), "version": s.Version,
	}.Text()
}

func hex(b byte) string { return fmt.Sprintf("0x%02x", b) }

// parseVersion reads the answer to the question for the version.
func parseVersion(answer []byte) (string, error) {
	if len(answer) < 6 || answer[2] != '0' { // with 5 bytes, it answers another command
		return "", fmt.Errorf("csr: version: the sensor answers % x", answer)
	}
	v := strings.TrimSpace(string(answer[3 : len(answer)-1]))
	for _, c := range []byte(v) {
		if c < ' ' || c > '~' {
			return "", fmt.Errorf("csr: version: the sensor answers % x", answer)
		}
	}
	return v, nil
}
