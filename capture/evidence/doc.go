// Package evidence is the format of a device's evidence: records, their seal,
// the chain that binds them, the centre's receipts, the register of keys, the
// bundle that is handed to a court or a citizen, and its verification.
//
// It keeps true that a record has one spelling. [Open] accepts exactly the bytes
// that [Seal] can write and nothing that means the same; whatever passes it
// satisfies every rule of [Record.Validate]. Every error names the byte or the
// field.
//
// A record is COSE_Sign1 (RFC 9052) with ES256 over deterministic CBOR (RFC 8949
// section 4.2.1):
//
//	d2 84                    tag 18, array of 4
//	58 4e                    protected header, 78 bytes:
//	   a3 01 26              {1: -7 (ES256),
//	   03 78 25 ...           3: "application/vnd.ciglio.record.v1+cbor",
//	   04 58 20 ...           4: SHA-256 of the key's SubjectPublicKeyInfo}
//	a0                       unprotected header, empty
//	59 xx xx ...             payload, a map with integer keys
//	58 40 r s                signature, s in the lower half of the order
//
// docs/evidence.md specifies every field with a worked example, docs/evidence.cddl
// gives the grammar, and testdata holds vectors, valid and invalid, that three
// independent verifiers agree on: this package, verify.html and verify.py.
//
// The codec is our own. A general CBOR library accepts more than one spelling
// and has to be talked out of it option by option; what is accepted here is what
// the list of fields says, in both directions, and the measuring core depends on
// nothing but the standard library.
//
// The caller must take keys from a [Trust] only, never from beside a record, and
// must treat sealed values as constant. Everything here may be called at the
// same time from several goroutines.
package evidence
