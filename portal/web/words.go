package web

import (
	"strings"

	"ciglio/capture/evidence"
	"ciglio/portal/page"
)

// codes are the keys of words that the program uses: a test holds them against its text.
var codes = []string{
	"web.ago.*", "web.banner.*", "web.cause.*", "web.chain.*", "web.check.*", "web.damaged.*", "web.device.*", "web.frame.*", "web.kept.*", "web.kind.*",
	"web.link.*", "web.list.*", "web.number.*", "web.order.*", "web.order_state.*", "web.overview.*", "web.refused.*", "web.size.*", "web.state.*",
	"web.verdict.*", "web.why.*",
}

// coded makes words of a code that others give: those of section.other where it is not known.
func coded(v page.View, section, code string) string {
	if key := section + "." + code; v.Knows(key) {
		return v.Say(key)
	}
	return v.Say(section + ".other")
}

// kind names a kind of record.
func kind(v page.View, k evidence.Kind) string {
	return coded(v, "web.kind", strings.NewReplacer(" ", "_", "-", "_").Replace(k.String()))
}

// language is the reader's, in which a verifier speaks as well.
func language(v page.View) evidence.Language { return evidence.Language(v.Lang()) }

// factsOf is what the record says, as every verifier prints it.
func factsOf(v page.View, r *evidence.Record) (all []said) {
	l := language(v)
	for _, f := range evidence.Facts(r) {
		one := said{Name: f.Title(l), Value: f.In(l)}
		if f.Name == "device" {
			one.Link = "/devices/" + f.Value()
		}
		all = append(all, one)
	}
	return all
}

// foreign is the language of words that the program has in English alone, where it is
// not the page's.
func foreign(v page.View) string {
	if v.Lang() == "en" {
		return ""
	}
	return "en"
}

// roleWords names the role of a frame.
func roleWords(v page.View, role string) string {
	switch role {
	case "before", "photo", "after":
		return language(v).Word("term." + role)
	}
	return role
}
