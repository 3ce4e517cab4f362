// Package docs_test holds the documents to what the programs do.
package docs_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"ciglio/capture/evidence"
	"ciglio/uplink"
	"ciglio/uplink/wire"
)

// document is asyncapi.yaml as JSON values.
func document(t *testing.T) map[string]any {
	t.Helper()
	b, err := os.ReadFile("asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var y any
	if err := yaml.Unmarshal(b, &y); err != nil {
		t.Fatal(err)
	}
	if b, err = json.Marshal(y); err != nil {
		t.Fatal(err)
	}
	d, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return d.(map[string]any)
}

// at follows a path of keys through maps.
func at(t *testing.T, v any, path ...string) any {
	t.Helper()
	for i, key := range path {
		m, ok := v.(map[string]any)
		if !ok || m[key] == nil {
			t.Fatalf("asyncapi.yaml has no %s", strings.Join(path[:i+1], "."))
		}
		v = m[key]
	}
	return v
}

func keys(t *testing.T, v any, path ...string) []string {
	t.Helper()
	var all []string
	for key := range at(t, v, path...).(map[string]any) {
		all = append(all, key)
	}
	slices.Sort(all)
	return all
}

// offline refuses to load anything: all that is needed is in the repository.
type offline struct{}

func (offline) Load(url string) (any, error) { return nil, errors.New("not loaded: " + url) }

// TestDocumentIsAsyncAPI validates the document against the official schema.
func TestDocumentIsAsyncAPI(t *testing.T) {
	b, err := os.ReadFile("schema/asyncapi-3.0.0.json")
	if err != nil {
		t.Fatal(err)
	}
	official, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(offline{})
	const url = "http://asyncapi.com/definitions/3.0.0/asyncapi.json"
	if err := c.AddResource(url, official); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile(url)
	if err != nil {
		t.Fatal(err)
	}
	d := document(t)
	if err := schema.Validate(d); err != nil {
		t.Fatal(err)
	}
	// The validation is not an empty one.
	for _, breaks := range []func(d map[string]any){
		func(d map[string]any) { delete(d, "info") },
		func(d map[string]any) { at(t, d, "operations", "sendState").(map[string]any)["action"] = "publish" },
		func(d map[string]any) {
			at(t, d, "operations", "sendState", "bindings", "mqtt").(map[string]any)["qos"] = 3
		},
		func(d map[string]any) { at(t, d, "channels", "blob").(map[string]any)["adress"] = "x" },
	} {
		d := document(t)
		breaks(d)
		if err := schema.Validate(d); err == nil {
			t.Error("a broken document is valid")
		}
	}
}

// TestReferencesLeadSomewhere follows every $ref of the document.
func TestReferencesLeadSomewhere(t *testing.T) {
	d := document(t)
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				path, local := strings.CutPrefix(ref, "#/")
				if !local {
					t.Errorf("reference %s leads out of the document", ref)
					return
				}
				at(t, d, strings.Split(path, "/")...)
			}
			for _, e := range v {
				walk(e)
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(d)
}

// TestChannelsAreTheTopics compares channels and operations with package wire.
func TestChannelsAreTheTopics(t *testing.T) {
	d := document(t)
	var want []string
	for _, w := range wire.Whats() {
		want = append(want, string(w))
		address := at(t, d, "channels", string(w), "address").(string)
		device := evidence.DeviceID{1}
		topic := strings.NewReplacer("{shard}", "a", "{device}", device.String()).Replace(address)
		if topic != wire.Topic("a", device, w) {
			t.Errorf("channel %s has the address %s", w, address)
		}
		operations := 0
		for _, name := range keys(t, d, "operations") {
			o := at(t, d, "operations", name).(map[string]any)
			if at(t, o, "channel", "$ref") != "#/channels/"+string(w) {
				continue
			}
			operations++
			if action := map[bool]string{true: "send", false: "receive"}[w.FromDevice()]; o["action"] != action {
				t.Errorf("operation %s is a %s, want %s", name, o["action"], action)
			}
			retained := w == wire.WhatState || w == wire.WhatProfile
			if at(t, o, "bindings", "mqtt", "qos") != json.Number("1") || at(t, o, "bindings", "mqtt").(map[string]any)["retain"] != retained {
				t.Errorf("operation %s: bindings %v, want QoS 1 and retain %v", name, o["bindings"], retained)
			}
		}
		if operations != 1 {
			t.Errorf("channel %s has %d operations", w, operations)
		}
	}
	slices.Sort(want)
	if got := keys(t, d, "channels"); !slices.Equal(got, want) {
		t.Errorf("channels %v, want %v", got, want)
	}
	mqtt := at(t, d, "servers", "broker", "bindings", "mqtt").(map[string]any)
	if mqtt["cleanSession"] != true || at(t, mqtt, "lastWill", "topic") != at(t, d, "channels", "state", "address") {
		t.Errorf("server bindings %v", mqtt)
	}
	will, err := wire.ParseState([]byte(at(t, mqtt, "lastWill", "message").(string)))
	if err != nil || will.Online || will.Reason != wire.ReasonLost {
		t.Errorf("last will %+v, %v", will, err)
	}
	for what, contentType := range map[string]string{
		"record": evidence.ContentTypeRecord, "receipt": evidence.ContentTypeReceipt, "have": wire.ContentCommand, "order": wire.ContentOrder,
	} {
		if got := at(t, d, "components", "messages", what, "contentType"); got != contentType {
			t.Errorf("message %s has the content type %v, want %s", what, got, contentType)
		}
	}
}

// TestLimitsAreThoseOfTheCode compares every number, in both documents.
func TestLimitsAreThoseOfTheCode(t *testing.T) {
	want := map[string]int{
		"chunkSize": wire.ChunkSize, "chunkHeader": wire.ChunkHeader, "chunkData": wire.ChunkData, "maxBlob": wire.MaxBlob,
		"maxRecord": evidence.MaxRecord, "maxReceipt": evidence.MaxReceipt, "maxCommand": wire.MaxCommand, "maxOrder": wire.MaxOrder,
		"maxHaveBlobs": wire.MaxHaveBlobs, "maxRanges": wire.MaxRanges, "maxJSON": wire.MaxJSON, "maxReasons": wire.MaxReasons,
		"maxShard": wire.MaxShard, "window": uplink.Window, "maxRecords": uplink.MaxRecords, "maxBytes": uplink.MaxBytes,
	}
	got := at(t, document(t), "x-ciglio-limits").(map[string]any)
	for name, n := range want {
		if fmt.Sprint(got[name]) != fmt.Sprint(n) {
			t.Errorf("%s is %v, want %d", name, got[name], n)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d limits, want %d", len(got), len(want))
	}
	cddl, err := os.ReadFile("mqtt.cddl")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		wire.ContentOrder, fmt.Sprintf("at most %d bytes", wire.MaxOrder),
		wire.ContentCommand, fmt.Sprintf("at most %d bytes", wire.MaxCommand), fmt.Sprintf("[1*%d have-blob]", wire.MaxHaveBlobs),
		fmt.Sprintf("[0*%d range]", wire.MaxRanges), fmt.Sprintf("[0..%d, 1..%d]", wire.MaxBlob-1, wire.MaxBlob),
	} {
		if !bytes.Contains(cddl, []byte(part)) {
			t.Errorf("mqtt.cddl does not say %q", part)
		}
	}
}

// fields lists the JSON fields of a struct by their path, the optional ones with
// a question mark, as the schema has them.
func fields(t reflect.Type, prefix string) []string {
	var all []string
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			all = append(all, fields(f.Type, prefix)...)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		path := prefix + name
		if options == "omitempty" {
			path += "?"
		}
		all = append(all, path)
		inner := f.Type
		for inner.Kind() == reflect.Slice || inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct && inner != reflect.TypeFor[time.Time]() {
			all = append(all, fields(inner, prefix+name+".")...)
		}
	}
	return all
}

// properties lists the same of a schema.
func properties(t *testing.T, d, schema map[string]any, prefix string) []string {
	var all []string
	required, _ := schema["required"].([]any)
	for name, p := range at(t, schema, "properties").(map[string]any) {
		path := prefix + name
		if !slices.Contains(required, any(name)) {
			path += "?"
		}
		all = append(all, path)
		inner := p.(map[string]any)
		if items, ok := inner["items"].(map[string]any); ok {
			inner = items
		}
		if ref, ok := inner["$ref"].(string); ok {
			inner = at(t, d, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...).(map[string]any)
		}
		if inner["properties"] != nil {
			all = append(all, properties(t, d, inner, prefix+name+".")...)
		}
	}
	return all
}

func TestSchemasHaveTheFieldsOfTheCode(t *testing.T) {
	d := document(t)
	for name, v := range map[string]any{"state": wire.State{}, "health": wire.Health{}, "profile": wire.Profile{}} {
		want := fields(reflect.TypeOf(v), "")
		got := properties(t, d, at(t, d, "components", "schemas", name).(map[string]any), "")
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s\nthe document has %v\nthe code has     %v", name, got, want)
		}
	}
}

// examples returns the examples of a message.
func examples(t *testing.T, d map[string]any, message string) []any {
	t.Helper()
	var all []any
	for _, e := range at(t, d, "components", "messages", message, "examples").([]any) {
		all = append(all, at(t, e, "payload"))
	}
	if len(all) == 0 {
		t.Fatalf("message %s has no example", message)
	}
	return all
}

// TestJSONExamples reads each example with package wire and with its schema, and
// so does what package wire writes.
func TestJSONExamples(t *testing.T) {
	d := document(t)
	c := jsonschema.NewCompiler()
	c.UseLoader(offline{})
	c.DefaultDraft(jsonschema.Draft7)
	if err := c.AddResource("asyncapi.yaml", d); err != nil {
		t.Fatal(err)
	}
	read := map[string]func(b []byte) (any, error){
		"state":   func(b []byte) (any, error) { v, err := wire.ParseState(b); return v, err },
		"health":  func(b []byte) (any, error) { v, err := wire.ParseHealth(b); return v, err },
		"profile": func(b []byte) (any, error) { v, err := wire.ParseProfile(b); return v, err },
	}
	for message, parse := range read {
		schema, err := c.Compile("asyncapi.yaml#/components/schemas/" + message)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range examples(t, d, message) {
			if err := schema.Validate(e); err != nil {
				t.Errorf("%s: %v", message, err)
			}
			b, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			v, err := parse(b)
			if err != nil {
				t.Errorf("%s: %v", message, err)
				continue
			}
			again, err := v.(interface{ Marshal() ([]byte, error) }).Marshal()
			if err != nil {
				t.Errorf("%s: %v", message, err)
			}
			value, err := jsonschema.UnmarshalJSON(bytes.NewReader(again))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(value); err != nil {
				t.Errorf("%s as package wire writes it: %v", message, err)
			}
		}
		if err := schema.Validate(map[string]any{"v": json.Number("2")}); err == nil {
			t.Errorf("%s: the schema accepts anything", message)
		}
	}
}

// centreKey is the public test key of capture/evidence.
func centreKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	scalar := sha256.Sum256([]byte("ciglio test key, not secret: centre"))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar[:])
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestBinaryExamples(t *testing.T) {
	d := document(t)
	one := func(message string) []byte {
		b, err := hex.DecodeString(examples(t, d, message)[0].(string))
		if err != nil {
			t.Fatalf("%s: %v", message, err)
		}
		return b
	}
	record, err := evidence.Open(one("record"))
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile("../capture/evidence/testdata/valid/heartbeat.cose")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(record.Bytes, file) {
		t.Error("the example of a record is not the vector it names")
	}
	receipt, err := evidence.OpenReceipt(one("receipt"))
	if err != nil {
		t.Fatal(err)
	}
	if err := receipt.Verify(&centreKey(t).PublicKey); err != nil {
		t.Error(err)
	}
	have, err := wire.OpenHave(one("have"))
	if err != nil {
		t.Fatal(err)
	}
	if err := have.Verify(&centreKey(t).PublicKey); err != nil {
		t.Error(err)
	}
	if have.Device != receipt.Receipt.Device || len(have.Blobs) != 2 || len(have.Blobs[0].Ranges) != 2 || len(have.Blobs[1].Ranges) != 0 {
		t.Errorf("have %+v", have.Have)
	}
	signer, err := evidence.NewSigner(centreKey(t))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := wire.SealHave(have.Have, signer); err != nil || !bytes.Equal(again, one("have")) {
		t.Errorf("the example of a have is not what package wire writes: %x, %v", again, err)
	}
	refused, err := wire.OpenCommand(one("refused"))
	if err == nil {
		err = refused.Verify(&centreKey(t).PublicKey)
	}
	if err != nil || refused.Refused == nil {
		t.Fatalf("the example of a refused: %+v, %v", refused, err)
	}
	order, err := wire.OpenOrder(one("order"))
	if err == nil {
		err = order.Verify(&centreKey(t).PublicKey)
	}
	if err != nil {
		t.Fatalf("the example of an order: %v", err)
	}
	what, err := order.Order()
	if err != nil || what.Device != receipt.Receipt.Device || what.Kind != wire.OrderPause {
		t.Fatalf("the example of an order: %+v, %v", what, err)
	}
	if again, err := wire.SealOrder(what, signer); err != nil || !bytes.Equal(again, one("order")) {
		t.Errorf("the example of an order is not what package wire writes: %x, %v", again, err)
	}
	if again, err := wire.SealRefused(refused.Refused, signer); err != nil || !bytes.Equal(again, one("refused")) {
		t.Errorf("the example of a refused is not what package wire writes: %x, %v", again, err)
	}
	chunk, err := wire.ParseChunk(one("chunk"))
	if err != nil || string(chunk.Data) != "abc" {
		t.Errorf("chunk %+v, %v", chunk, err)
	}
}

// TestProseNamesWhatThereIs keeps mqtt.md from falling behind.
func TestProseNamesWhatThereIs(t *testing.T) {
	b, err := os.ReadFile("mqtt.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, w := range wire.Whats() {
		if !strings.Contains(text, "`"+string(w)+"`") {
			t.Errorf("mqtt.md does not mention %s", w)
		}
	}
	for _, n := range []string{"61,440", "61,384", "64 MiB", "set_tcp_nodelay true", "max_queued_messages", "10 minutes", "6 hours"} {
		if !strings.Contains(text, n) {
			t.Errorf("mqtt.md does not mention %s", n)
		}
	}
	for _, link := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(text, -1) {
		if _, err := os.Stat(link[1]); err != nil {
			t.Errorf("mqtt.md: %v", err)
		}
	}
}
