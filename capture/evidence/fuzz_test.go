package evidence

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// Each target proves one spelling: whatever is accepted gives the same bytes
// when it is written again.

// again writes a message as a signer would, with the signature it has.
func again(m *SealedMessage) []byte {
	header, err := protectedHeader(m.ContentType, m.KeyID)
	if err != nil {
		panic(err)
	}
	return appendMessage(header, m.Payload, m.sig)
}

func FuzzRecord(f *testing.F) {
	for _, v := range vectors(f) {
		if !bytes.HasPrefix(v.data, []byte("PK")) {
			f.Add(v.data)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Open(b)
		if err != nil {
			return
		}
		payload, err := s.Record.Marshal()
		if err != nil || !bytes.Equal(payload, s.message.Payload) || !bytes.Equal(again(s.message), b) {
			t.Errorf("a second spelling of one record was accepted: %x, %v", b, err)
		}
	})
}

// FuzzPayload reaches the fields without a COSE wrapper in the way.
func FuzzPayload(f *testing.F) {
	for k := range bodies() {
		f.Add(must(ofKind(f, k).Marshal())(f))
	}
	f.Add(must(violation(f).Marshal())(f))
	for _, v := range spoiledPayloads() {
		root := parseTree(f, must(ofKind(f, max(v.kind, 1)).Marshal())(f))
		v.spoil(root)
		f.Add(root.bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Unmarshal(b)
		if err != nil {
			return
		}
		if payload, err := r.Marshal(); err != nil || !bytes.Equal(payload, b) {
			t.Errorf("a second spelling of one record was accepted: %x, %v", b, err)
		}
	})
}

func FuzzReceipt(f *testing.F) {
	for _, r := range []*Record{violation(f), ofKind(f, KindHeartbeat)} {
		b := bundleOf(f, r, "device")
		f.Add(b.Receipt)
		f.Add(b.Proof)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := OpenReceipt(b); err == nil {
			payload, err := encode(s.Receipt.fields)
			if err != nil || !bytes.Equal(payload, s.message.Payload) || !bytes.Equal(again(s.message), b) {
				t.Errorf("a second spelling of one receipt was accepted: %x, %v", b, err)
			}
		}
		if p, err := UnmarshalProof(b); err == nil {
			if payload, err := p.Marshal(); err != nil || !bytes.Equal(payload, b) {
				t.Errorf("a second spelling of one proof was accepted: %x, %v", b, err)
			}
		}
	})
}

func FuzzRegister(f *testing.F) {
	for _, data := range trustFiles(f) {
		f.Add(data)
		if t, err := ParseTrust(data); err == nil {
			f.Add(t.Register().Bytes)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := OpenRegister(b); err == nil {
			payload, err := encode(s.Register.fields)
			if err != nil || !bytes.Equal(payload, s.message.Payload) || !bytes.Equal(again(s.message), b) {
				t.Errorf("a second spelling of one register was accepted: %x, %v", b, err)
			}
		}
		if trust, err := ParseTrust(b); err == nil {
			root := &testKey(t, "root").PublicKey
			if must(KeyID(root))(t) != trust.Root() {
				root = &testKey(t, "another root").PublicKey
			}
			text := EncodeTrust(root, trust.Register().Bytes)
			if !bytes.Equal(text, bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))) {
				t.Errorf("a second spelling of one trust file was accepted: %q", b)
			}
		}
	})
}

func FuzzBundle(f *testing.F) {
	for _, v := range vectors(f) {
		if bytes.HasPrefix(v.data, []byte("PK")) {
			f.Add(v.data)
		}
	}
	trust := must(ParseTrust(trustFiles(f)["trust.pem"]))(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		bundle, err := ReadBundle(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		verdict := Verify(bundle, trust)
		if a := bundle.Archive; verdict.OK() && a.Changed == "" && a.Page == nil && !bytes.Equal(zipOf(t, bundle), b) {
			t.Errorf("a second spelling of one bundle was accepted: %q", b)
		}
	})
}

// FuzzPacked compares our reading of an archive that another program packed with
// that of the standard library: whatever we accept, it sees the same files in.
func FuzzPacked(f *testing.F) {
	for _, v := range vectors(f) {
		if bytes.HasPrefix(v.data, []byte("PK")) {
			f.Add(v.data)
		}
	}
	var deflated bytes.Buffer
	w := zip.NewWriter(&deflated)
	must(must(w.Create("case/record.cose"))(f).Write([]byte("a record, a record, a record")))(f)
	must(0, w.Close())(f)
	f.Add(deflated.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		files, _, err := readPacked(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
		if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
			t.Skip() // more strict than we are
		}
		for _, ours := range files {
			found := false
			for _, theirs := range r.File {
				if theirs.Name == ours.name || strings.HasSuffix(theirs.Name, "/"+ours.name) {
					open, err := theirs.Open()
					if err != nil {
						continue
					}
					data, err := io.ReadAll(open)
					found = found || err == nil && bytes.Equal(data, ours.data)
				}
			}
			if !found {
				t.Errorf("%s: another program sees other bytes", ours.name)
			}
		}
	})
}
