package agent

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"ciglio/agent/config"
)

// The manual page and the completions are made of the table of commands and the
// flags that these define, so that they cannot say anything else.

// help is the command `ciglio help`.
func help(f flags) action {
	man := f.Bool("man", false, "print the manual page, for man -l -")
	return func(args []string, stdout, stderr io.Writer) int {
		words, exit, ok := f.parse(args)
		if !ok {
			return exit
		}
		if len(words) > 0 {
			c, rest, ok := commandOf(words)
			if !ok || len(rest) > 0 {
				return noCommand(words, stderr)
			}
			h := c.flags(stdout, stderr)
			c.define(h)
			h.help(stdout)
			return exitGood
		}
		switch {
		case *f.json:
			printJSON(stdout, describeCommands())
		case *man:
			manual(stdout)
		default:
			usage(stdout)
		}
		return exitGood
	}
}

type commandJSON struct {
	Name      string     `json:"name"`
	Arguments string     `json:"arguments,omitempty"`
	Does      string     `json:"does"`
	Flags     []flagJSON `json:"flags"`
}

type flagJSON struct {
	Name    string `json:"name"`
	Value   string `json:"value,omitempty"` // what it takes, such as file; "" for a switch
	Does    string `json:"does"`
	Default string `json:"default,omitempty"`
}

func describeCommands() []commandJSON {
	var all []commandJSON
	for _, c := range commands() {
		d := commandJSON{Name: c.name, Arguments: c.args, Does: c.does}
		for _, o := range c.options() {
			value, does := flag.UnquoteUsage(o)
			d.Flags = append(d.Flags, flagJSON{o.Name, value, does, o.DefValue})
		}
		all = append(all, d)
	}
	return all
}

// options returns the flags of the command in the order of their names.
func (c command) options() []*flag.Flag {
	f := c.flags(io.Discard, io.Discard)
	c.define(f)
	var all []*flag.Flag
	f.VisitAll(func(o *flag.Flag) { all = append(all, o) })
	return all
}

// roff protects what the formatter of manual pages would take for its own.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}

// manual writes the manual page.
func manual(w io.Writer) {
	p := func(format string, args ...any) {
		for i, a := range args {
			args[i] = roff(fmt.Sprint(a))
		}
		fmt.Fprintf(w, format+"\n", args...)
	}
	p(`.TH CIGLIO 1 "" "ciglio %s" "Ciglio"`, Version)
	p(".SH NAME\nciglio \\- %s", purpose)
	p(".SH SYNOPSIS")
	for _, c := range commands() {
		p(".B ciglio %s", c.name)
		if c.args != "" {
			p("%s", c.args)
		}
		p(".br")
	}
	p(".SH DESCRIPTION\nThe program of a roadside speed camera, and of the desk where its evidence is checked. %s",
		"Flags may stand before, between and after the other arguments; after a lone -- there are none.")
	p(".SH COMMANDS")
	for _, c := range commands() {
		p(".SS %s\n%s.", strings.TrimSpace(c.name+" "+c.args), strings.ToUpper(c.does[:1])+c.does[1:])
		if c.more != "" {
			p(".PP\n%s", c.more)
		}
		for _, o := range c.options() {
			value, does := flag.UnquoteUsage(o)
			p(".TP\n\\fB%s\\fR \\fI%s\\fR\n%s%s", "--"+o.Name, value, does, byDefault(o))
		}
	}
	p(".SH EXIT STATUS")
	for code, means := range []string{exitGood: "good", exitFailed: "failed", exitUsage: "wrong use"} {
		p(".TP\n.B %s\n%s", code, means)
	}
	p(".SH ENVIRONMENT\n.TP\n.B %s\n%s", config.Variable("SECTION", "KEY"),
		"every key of the configuration, such as "+config.Variable("site", "limit")+"; it overrides the file")
	p(".TP\n.BR NOTIFY_SOCKET , \" WATCHDOG_USEC\"\nset by the service manager, which\n.B ciglio run\ntells that it runs, and that it has not come to a stand")
	p(".SH FILES\n.TP\n.I %s\nthe configuration;\n.B ciglio config print\nshows every key with its meaning and default", config.DefaultPath)
	p(".TP\n.I %s\nthe outbox, the keys and statements of the device", config.Default().Device.Dir)
}

// completion is the command `ciglio completion`.
func completion(f flags) action {
	return func(args []string, stdout, stderr io.Writer) int {
		shells, exit, ok := f.parse(args)
		if !ok {
			return exit
		}
		if len(shells) != 1 {
			f.Usage()
			return exitUsage
		}
		if shells[0] != "bash" {
			fmt.Fprintf(stderr, "ciglio: no completion for %q\nhint: there is one for bash\n", shells[0])
			return exitUsage
		}
		var b strings.Builder
		completeBash(&b, describeCommands())
		if *f.json {
			printJSON(stdout, map[string]string{"shell": shells[0], "script": b.String()})
		} else {
			io.WriteString(stdout, b.String())
		}
		return exitGood
	}
}

// firstWords returns the first words of all commands and, for those that have
// two, the second ones.
func firstWords(all []commandJSON) (first []string, second map[string][]string) {
	second = map[string][]string{}
	for _, c := range all {
		word, next, two := strings.Cut(c.Name, " ")
		if !slices.Contains(first, word) {
			first = append(first, word)
		}
		if two {
			second[word] = append(second[word], next)
		}
	}
	return first, second
}

// takes says what completes a value or an argument: files, folders, words, or
// nothing that a shell knows.
func takes(what string) (files, folders bool, words []string) {
	switch {
	case strings.Contains(what, "SHELL"):
		return false, false, []string{"bash"}
	case what == "folder":
		return false, true, nil
	case strings.EqualFold(what, "file"), strings.Contains(what, "FILE…"), strings.Contains(what, "PATH"):
		return true, false, nil
	}
	return false, false, nil
}

func completeBash(w io.Writer, all []commandJSON) {
	first, second := firstWords(all)
	generate := func(what string) string {
		switch files, folders, words := takes(what); {
		case files:
			return `-f`
		case folders:
			return `-d`
		default:
			return `-W "` + strings.Join(words, " ") + `"`
		}
	}
	fmt.Fprint(w, `# bash completion of ciglio, printed by: ciglio completion bash
_ciglio() {
	local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}" by
	case "$COMP_CWORD ${COMP_WORDS[1]}" in
`)
	fmt.Fprintf(w, "\t1\\ *) by='-W \"%s\"' ;;\n", strings.Join(first, " "))
	for _, word := range slices.Sorted(maps.Keys(second)) {
		fmt.Fprintf(w, "\t'2 %s') by='-W \"%s\"' ;;\n", word, strings.Join(second[word], " "))
	}
	fmt.Fprint(w, "\t*)\n\t\tcase \"${COMP_WORDS[1]} ${COMP_WORDS[2]}\" in\n")
	for _, c := range all {
		pattern := "'" + c.Name + "'"
		if !strings.Contains(c.Name, " ") {
			pattern = "'" + c.Name + " '*"
		}
		var names []string
		fmt.Fprintf(w, "\t\t%s)\n\t\t\tcase \"$previous $current\" in\n", pattern)
		for _, f := range c.Flags {
			names = append(names, "--"+f.Name)
			if f.Value != "" {
				fmt.Fprintf(w, "\t\t\t'--%s '*) by='%s' ;;\n", f.Name, generate(f.Value))
			}
		}
		fmt.Fprintf(w, "\t\t\t*' -'*) by='-W \"%s\"' ;;\n", strings.Join(names, " "))
		fmt.Fprintf(w, "\t\t\t*) by='%s' ;;\n\t\t\tesac ;;\n", generate(c.Arguments))
	}
	fmt.Fprint(w, `		esac ;;
	esac
	COMPREPLY=()
	[ -n "$by" ] || return 0
	local line
	while IFS= read -r line; do COMPREPLY+=("$line"); done < <(eval "compgen $by -- \"\$current\"")
}
complete -o filenames -F _ciglio ciglio
`)
}
