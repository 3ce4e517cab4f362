package evidence

import (
	"os/exec"
	"strings"
	"testing"
)

// runDOM runs the whole page on a document that is just enough of one: it hands
// files to the inputs as a person does, and prints the text of the page.
const runDOM = `
const fs = require("fs");
globalThis.crypto ??= require("crypto").webcrypto;
class Node {
  constructor(tag) { Object.assign(this, { tag, children: [], className: "", dataset: {}, classList: { add() {}, remove() {} }, listeners: {} }); }
  append(...all) { this.children.push(...all); }
  replaceChildren(...all) { this.children = all; }
  set textContent(text) { this.children = [text]; }
  setAttribute() {}
  addEventListener(name, listener) { this.listeners[name] = listener; }
  get text() { return this.children.map(c => c instanceof Node ? c.text : String(c)).join(" "); }
}
const ids = {};
globalThis.document = Object.assign(new Node("html"), {
  createElement: tag => new Node(tag),
  getElementById: id => ids[id] ??= new Node("div"),
  querySelectorAll: () => [], documentElement: {},
});
Object.defineProperty(globalThis, "navigator", { value: { language: "en-GB" }, configurable: true });
globalThis.URL = class { static createObjectURL() { return "blob:x"; } static revokeObjectURL() {} };
new Function(fs.readFileSync("verify.html", "utf8").match(/<script>([^]*)<\/script>/)[1])();
const files = process.argv.slice(1).map(path => Object.assign(new Blob([fs.readFileSync(path)]), { name: path }));
(async () => {
  await ids["trust-file"].listeners.change({ target: { files: files.slice(0, 1) } });
  await ids["bundle-file"].listeners.change({ target: { files: files.slice(1) } });
  while (!ids.result?.children.length) await new Promise(resolve => setTimeout(resolve, 10));
  console.log(ids["trust-state"].text + "\n" + ids.result.text);
})();
`

// TestPageShowsWhatItFound hands files to the page as a person does.
func TestPageShowsWhatItFound(t *testing.T) {
	node := interpreter(t, "node")
	for _, test := range []struct {
		files []string
		want  []string
	}{
		{[]string{"valid/violation.zip"}, []string{"This evidence is genuine and complete.", "63.05 km/h", "0.21 km/h (standard uncertainty, k = 1)",
			"picture 1, before: 120.0 ms before the photo position", "picture 2, photo: at the photo position", "targets *", "not checked"}},
		{[]string{"valid/test.zip"}, []string{"TEST, not evidence of a violation. The record is genuine."}},
		{[]string{"invalid/another-target.zip"}, []string{"Do not rely on this evidence.", "1 other vehicle was in the beam"}},
		{[]string{"valid/heartbeat.cose"}, []string{"number 7 of epoch 1"}},
		{[]string{"valid/zip-other-page.zip"}, []string{"this page is not part of what was checked"}},
		{[]string{"invalid/zip-truncated.zip"}, []string{"cannot be read"}},
		{[]string{"valid/violation.zip", "valid/violation-two-frames.zip"}, []string{"testdata/valid/violation-two-frames.zip", "is also picture"}},
	} {
		args := []string{"-e", runDOM, "--", "testdata/trust.pem"}
		for _, f := range test.files {
			args = append(args, "testdata/"+f)
		}
		out, err := exec.Command(node, args...).CombinedOutput()
		if err != nil {
			t.Errorf("%v: %v\n%s", test.files, err, out)
		}
		for _, want := range append(test.want, "Register number 12") {
			if !strings.Contains(string(out), want) {
				t.Errorf("%v: the page does not show %q:\n%s", test.files, want, out)
			}
		}
	}
}

// TestPageSpeaksTheReadersLanguage opens the page, and then has the reader choose.
func TestPageSpeaksTheReadersLanguage(t *testing.T) {
	node := interpreter(t, "node")
	choose := strings.Replace(runDOM, `  console.log(ids["trust-state"]`, `  console.log(ids["trust-state"].text + ids.result.text);
  ids.result.children = [];
  ids.language.value = process.env.CHOOSE;
  ids.language.listeners.change();
  while (!ids.result?.children.length) await new Promise(resolve => setTimeout(resolve, 10));
  console.log(document.title + document.documentElement.lang);
  console.log(ids["trust-state"]`, 1)
	for language, want := range map[string][]string{
		"it": {"Ciglio: Verificare la prova di un rilevatore di velocitàit", "Questa prova è autentica e completa.", "Registro numero 12", "63,05 km/h", "fotografia 2, scatto: alla posizione di scatto"},
		"de": {"Ciglio: Den Beweis einer Geschwindigkeitsmessung prüfende", "Dieses Beweismittel ist echt und vollständig.", "Register Nummer 12", "63,05 km/h", "Bild 1, davor: 120,0 ms vor der Fotoposition"},
	} {
		cmd := exec.Command(node, "-e", choose, "--", "testdata/trust.pem", "testdata/valid/violation.zip")
		cmd.Env = append(cmd.Environ(), "CHOOSE="+language)
		out, err := cmd.CombinedOutput()
		for _, w := range append(want, "This evidence is genuine and complete.") {
			if err != nil || !strings.Contains(string(out), w) {
				t.Errorf("%s: %v: no %q in\n%s", language, err, w, out)
			}
		}
	}
}

// TestD22_PageNamesAnUnusableTrustFile gives a picture as the trust file: the page
// must not judge it as evidence.
func TestD22_PageNamesAnUnusableTrustFile(t *testing.T) {
	out, err := exec.Command(interpreter(t, "node"), "-e", runDOM, "--", "testdata/frames/1-before.jpg", "testdata/valid/violation.zip").CombinedOutput()
	for _, want := range []string{"The trust file cannot be used: not a root key and a register.", "Not everything could be checked."} {
		if err != nil || !strings.Contains(string(out), want) || strings.Contains(string(out), "Do not rely") {
			t.Errorf("%v: want %q:\n%s", err, want, out)
		}
	}
}
