// Package agd drives the traffic radars of AGD Systems that report tracked
// targets in messages of type 04: the AGD 350 as far as is public. The line is
// RS-422; the maker's default is 921,600 baud, 8 data bits and odd parity, set
// without parity by *BAUD=115200,0,NONE,8.
//
// # Messages
//
// A message is STX (02), text, "*", a check sum of two hexadecimal digits, ETX
// (03). The text is fields with commas between them, each of fixed width. A
// tracked target is
//
//	type       04
//	time       ddddd.dd   s of the radar's clock, 0 to 86400
//	track      d or dd    the radar's number of the target
//	direction  A approaching, R receding; X and Y are the same, simulated
//	speed      ddd.d
//	unit       K km/h, M mph
//	range      ddd.d      m
//	angle      +dd.d      degrees, or -dd.d
//	bearing    ddd.d      degrees: way of travel, 0 straight away, 180 towards
//	form       P          range and angle are polar
//	amplitude  ddd.d      dB
//
// and a heartbeat HB with the time, or with the number of a frame in eight
// hexadecimal digits. Types 02, a raw detection, and 03, a target that passed a
// line, say nothing more and are skipped. For example
//
//	02 "04,01234.56,07,A,063.4,K,042.5,-03.2,180.0,P,071.5*" "7F" 03
//
// is target 7, approaching at 63.4 km/h, 42.5 m away, 3.2° left of the middle,
// with 71.5 dB, and its check sum is the CRC-8 with the polynomial x⁸+x²+x+1 from
// 0 over the bytes from STX to the asterisk. [XOR] is the other kind: the bytes
// after STX and before the asterisk, in exclusive or. Targets of one time are
// one [sensor.Cycle]. A target with direction X or Y has
// [sensor.FlagSimulated] and is never evidence.
//
// # Commands
//
// A command is "*", a name, an operator, a value and CR: "=" sets, "?" asks. The
// answer is "#", the same name and operator, the value and CR, or "#ERROR" with
// words. This driver sets, and reads back:
//
//	*ANGLE=0  no correction for an angle    *HBP=5  a heartbeat every 5 s
//	*CT=P     polar                         *SU=K   km/h
//	*DIR=B    both directions
//
// and asks AGD, whose answer names the model in its first line, and *SN?, whose
// answer is the serial number, with "*" and the [XOR] of all bytes to the
// asterisk behind it or without. A radar that refuses *ANGLE may correct speeds
// by itself and is not used.
//
// # Sources
//
// AGD Systems: product manuals of the AGD 350 (messages, commands), AGD 342 (342
// PM ISS8: answers, CRC-8), AGD 317 (answers, serial number, exclusive or) and
// AGD 340 (340 PM ISS2: contents only), as far as public. Not confirmed: which
// check sum the AGD 350 uses, and whether STX counts (the AGD 342's is over "all
// bytes, up to and including the asterisk", the AGD 317's over the message
// without its first and last, and the one example printed there has the sum of
// another number): hence [Options.Check]; on which side an angle is positive, taken as right; whether
// an AGD 350 has *ANGLE; the command that chooses which messages are sent, to be
// set with the maker's program; the words of the answer to AGD; the forms of the
// event messages of the AGD 340 to 343. A message of a type that is not named
// above is therefore an error, and no silent loss.
package agd

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"ciglio/sensor"
	"ciglio/sensor/framing"
)

// A Check is a kind of check sum.
type Check uint8

// The kinds of check sum.
const (
	CRC8 Check = iota // from STX to the asterisk
	XOR               // between STX and the asterisk
)

// String returns "crc8" or "xor".
func (c Check) String() string {
	if c == XOR {
		return "xor"
	}
	return "crc8"
}

// of returns the check sum of a message that begins with STX and ends with the
// asterisk.
func (c Check) of(b []byte) byte {
	if c == XOR {
		return xor(b[1 : len(b)-1])
	}
	sum := byte(0)
	for _, v := range b {
		sum ^= v
		for range 8 {
			sum = sum<<1 ^ sum>>7*0x07
		}
	}
	return sum
}

func xor(b []byte) byte {
	sum := byte(0)
	for _, v := range b {
		sum ^= v
	}
	return sum
}

// Step is the step of the radar's speeds.
const Step = sensor.KmH / 10

const (
	stx, etx   = 0x02, 0x03
	maxMessage = 96  // the longest that is known has 58 bytes
	maxLine    = 128 // of an answer
)

// A Kind says what a [Message] is.
type Kind uint8

// The kinds of message.
const (
	Target    Kind = iota // a tracked target
	Heartbeat             // the radar works
	Other                 // known, and of no use
)

// A Message is one message of the radar.
type Message struct {
	Kind      Kind
	Time      int // hundredths of a second of the radar's clock, of a Target
	Track     int
	Direction sensor.Direction
	Simulated bool
	Speed     sensor.Speed // along the line of sight
	Range     int          // mm
	Angle     int          // hundredths of a degree, positive to the right
	Bearing   int          // hundredths of a degree
	Level     int          // tenths of a decibel
}

// What a message with a right check sum may be.
var (
	ErrMPH     = errors.New("agd: the sensor reports mph: it has lost its settings")
	ErrUnknown = errors.New("agd: a message of unknown type")
)

// Parse reads a message from STX to ETX. It returns an error when the check sum
// is wrong, or the message is of no known form.
func Parse(b []byte, check Check) (Message, error) {
	text, err := body(b, check)
	if err != nil {
		return Message{}, err
	}
	fields := bytes.Split(text, []byte{','})
	switch kind := string(fields[0]); {
	case kind == "04" && len(fields) == 11:
		return parseTarget(fields)
	case kind == "HB" && len(fields) == 2, kind == "02" && len(fields) == 11, kind == "03" && len(fields) == 12:
		m := Message{Kind: Other}
		if kind == "HB" {
			m.Kind = Heartbeat
		}
		return m, nil
	}
	return Message{}, fmt.Errorf("%w: %q", ErrUnknown, text)
}

// body returns the text of a message whose check sum is right.
func body(b []byte, check Check) ([]byte, error) {
	n := len(b)
	if n < 6 || b[0] != stx || b[n-1] != etx || b[n-4] != '*' {
		return nil, errors.New("agd: no message")
	}
	told, err := strconv.ParseUint(string(b[n-3:n-1]), 16, 8)
	if err != nil || byte(told) != check.of(b[:n-3]) {
		return nil, fmt.Errorf("agd: check sum %q: want %02X", b[n-3:n-1], check.of(b[:n-3]))
	}
	return b[1 : n-4], nil
}

func parseTarget(fields [][]byte) (Message, error) {
	var m Message
	ok := true
	number := func(field []byte, form string) int {
		v, good := decimal(field, form)
		ok = ok && good
		return v
	}
	m.Time = number(fields[1], "ddddd.dd")
	track := "dd"
	if len(fields[2]) == 1 {
		track = "d"
	}
	m.Track = number(fields[2], track)
	switch string(fields[3]) {
	case "A", "X":
		m.Direction = sensor.Approaching
	case "R", "Y":
		m.Direction = sensor.Receding
	default:
		ok = false
	}
	m.Simulated = string(fields[3]) == "X" || string(fields[3]) == "Y"
	m.Speed = Step * sensor.Speed(number(fields[4], "ddd.d"))
	m.Range = 100 * number(fields[6], "ddd.d")
	m.Angle = 10 * number(fields[7], "±dd.d")
	m.Bearing = 10 * number(fields[8], "ddd.d")
	m.Level = number(fields[10], "ddd.d")
	if string(fields[5]) == "M" && ok {
		return Message{Time: m.Time}, ErrMPH
	}
	if !ok || string(fields[5]) != "K" || string(fields[9]) != "P" || m.Time > 86400_00 || m.Bearing >= 360_00 {
		return Message{}, fmt.Errorf("agd: target %q: a field is not of its form", bytes.Join(fields, []byte{','}))
	}
	return m, nil
}

// decimal reads a number of fixed form, d for a digit and ± for a sign, without
// its point.
func decimal(field []byte, form string) (int, bool) {
	negative := false
	if rest, signed := bytes.CutPrefix([]byte(form), []byte("±")); signed {
		if len(field) == 0 || field[0] != '+' && field[0] != '-' {
			return 0, false
		}
		negative, field, form = field[0] == '-', field[1:], string(rest)
	}
	if len(field) != len(form) {
		return 0, false
	}
	v := 0
	for k, c := range field {
		switch {
		case form[k] == '.' && c == '.':
		case form[k] == 'd' && c >= '0' && c <= '9':
			v = 10*v + int(c-'0')
		default:
			return 0, false
		}
	}
	if negative {
		v = -v
	}
	return v, true
}

// judge returns a judge of messages with a right check sum, and of the lines of
// answers, for package framing.
func (c Check) judge(b []byte) (int, framing.Verdict) {
	switch b[0] {
	case stx:
		for k, v := range b[1:min(len(b), maxMessage)] {
			if v == etx {
				if _, err := body(b[:k+2], c); err != nil {
					return 1, framing.Broken
				}
				return k + 2, framing.Good
			}
			if v < ' ' || v > '~' {
				return 1, framing.Broken
			}
		}
		if len(b) >= maxMessage {
			return 1, framing.Broken
		}
		return 0, framing.More
	case '#':
		for k, v := range b[:min(len(b), maxLine)] {
			if v == '\r' || v == '\n' {
				return k + 1, framing.Good
			}
			if v < ' ' || v > '~' {
				return 1, framing.Broken
			}
		}
		if len(b) >= maxLine {
			return 1, framing.Broken
		}
		return 0, framing.More
	case '\r', '\n':
		return 1, framing.Good // behind the end of a line
	}
	return 1, framing.Skip
}
