package evidence

import (
	"archive/zip"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"ciglio/sensor/sensortest/recording"
)

// TestSignaturesOfOthers checks our primitive against the examples of the COSE
// working group.
func TestSignaturesOfOthers(t *testing.T) {
	examples, err := zip.OpenReader(recording.Path(t, "vectors/cose-wg-examples-a.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer examples.Close()
	good, bad := 0, 0
	for _, f := range examples.File {
		if !strings.HasSuffix(f.Name, ".json") {
			continue
		}
		var e struct {
			Fail  bool
			Input struct {
				Sign0 *struct {
					Key struct{ Crv, X, Y string }
					Alg string
				}
			}
			Intermediates struct {
				ToBeSigned string `json:"ToBeSign_hex"`
			}
			Output struct{ Cbor string }
		}
		r := must(f.Open())(t)
		if err := json.NewDecoder(r).Decode(&e); err != nil || e.Input.Sign0 == nil {
			continue // not an example of COSE_Sign1
		}
		sign := e.Input.Sign0
		if sign.Alg != "ES256" || sign.Key.Crv != "P-256" {
			continue
		}
		point := []byte{4}
		for _, coordinate := range []string{sign.Key.X, sign.Key.Y} {
			point = append(point, must(base64.RawURLEncoding.DecodeString(coordinate))(t)...)
		}
		pub := must(ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point))(t)
		whole := must(hex.DecodeString(e.Output.Cbor))(t)
		sig := [64]byte(whole[len(whole)-64:])
		tbs := must(hex.DecodeString(e.Intermediates.ToBeSigned))(t)
		if e.Fail && whole[0] == 0xd2 {
			// What must fail does so against the message itself, not against
			// what was signed before the message was changed.
			if m, _ := parseNode(t, whole[1:]); m.kids[0].major == majorBytes && m.kids[2].major == majorBytes {
				tbs = toBeSigned(m.kids[0].data, m.kids[2].data)
			}
		}
		// Where the fault is in the tag, only the shape can tell.
		if verifies := checkSignature(pub, tbs, sig); verifies == e.Fail && whole[0] == 0xd2 {
			t.Errorf("%s: verifies: %v", f.Name, verifies)
		}
		if _, err := OpenMessage(ContentTypeRecord, MaxRecord, whole); err == nil {
			t.Errorf("%s: has not our shape and was accepted", f.Name)
		}
		if e.Fail {
			bad++
		} else {
			good++
		}
	}
	if good < 4 || bad < 4 {
		t.Errorf("%d good and %d bad examples, want at least 4 of each", good, bad)
	}
}

// What another library makes of our records is tested in cross/reference.

// broken is a signer whose device gives nonsense.
type broken struct{ Signer }

func (b broken) Sign(m ToBeSigned) (sig [64]byte, err error) {
	sig, err = b.Signer.Sign(m)
	return [64]byte(highS(sig[:])), err
}

func TestSealRefusesHighS(t *testing.T) {
	if _, err := Seal(violation(t), broken{testSigner(t, "device")}); !errors.Is(err, ErrHighS) {
		t.Errorf("error %v, want %v", err, ErrHighS)
	}
}

func TestSignerTakesP256Only(t *testing.T) {
	key := must(ecdsa.ParseRawPrivateKey(elliptic.P384(), bytes.Repeat([]byte{1}, 48)))(t)
	if _, err := NewSigner(key); err == nil {
		t.Error("a P-384 key was accepted")
	}
}

func TestParseKeyTakesOneSpelling(t *testing.T) {
	spki := must(EncodeKey(&testKey(t, "device").PublicKey))(t)
	if _, err := ParseKey(spki); err != nil {
		t.Fatal(err)
	}
	off := bytes.Clone(spki)
	off[90] ^= 1
	compressed := append(bytes.Clone(spki[:26]), 2)
	compressed = append(compressed, spki[27:59]...)
	compressed[1], compressed[24] = 0x39, 0x22
	for name, b := range map[string][]byte{
		"not on the curve": off, "cut": spki[:90], "longer": append(bytes.Clone(spki), 0), "empty": nil, "compressed": compressed,
	} {
		if _, err := ParseKey(b); err == nil {
			t.Errorf("%s: was accepted", name)
		}
	}
}

func TestOpenMessageTakesTheWantedTypeOnly(t *testing.T) {
	const command = "application/vnd.ciglio.command.v1+cbor"
	b := must(SealMessage(command, []byte("do"), testSigner(t, "centre")))(t)
	m := must(OpenMessage(command, 1000, b))(t)
	if err := m.Verify(&testKey(t, "centre").PublicKey); err != nil || string(m.Payload) != "do" {
		t.Errorf("%q, %v", m.Payload, err)
	}
	if err := m.Verify(&testKey(t, "device").PublicKey); !errors.Is(err, ErrWrongKey) {
		t.Errorf("error %v, want %v", err, ErrWrongKey)
	}
	if _, err := OpenMessage(ContentTypeReceipt, 1000, b); !errors.Is(err, ErrHeader) {
		t.Errorf("error %v, want %v", err, ErrHeader)
	}
	if _, err := OpenMessage(command, len(b)-1, b); !errors.Is(err, ErrTooLarge) {
		t.Errorf("error %v, want %v", err, ErrTooLarge)
	}
	if _, err := SealMessage("text/ä"+strings.Repeat("x", 80), nil, testSigner(t, "centre")); err == nil {
		t.Error("a content type of 87 bytes was accepted")
	}
}

func TestOnlyTheEncoderHandsOverWhatIsSigned(t *testing.T) {
	device := testSigner(t, "device")
	if _, err := device.Sign(ToBeSigned{}); !errors.Is(err, ErrNotEncoded) {
		t.Errorf("nothing: error %v, want %v", err, ErrNotEncoded)
	}
	if _, err := SealMessage(ContentTypeRecord, []byte("anything"), device); !errors.Is(err, ErrNotEncoded) {
		t.Errorf("a record that is none: error %v, want %v", err, ErrNotEncoded)
	}
}

// TestEnvelope compares with the test vector of the DSSE protocol.
func TestEnvelope(t *testing.T) {
	m := EnvelopeToBeSigned("http://example.com/HelloWorld", []byte("hello world"))
	want := sha256.Sum256([]byte("DSSEv1 29 http://example.com/HelloWorld 11 hello world"))
	if m.Digest() != want {
		t.Errorf("digest %v, want %x", m.Digest(), want)
	}
}
