package portal

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/ca"
	"ciglio/portal/database"
	"ciglio/portal/est"
	"ciglio/portal/keys"
	"ciglio/portal/log"
	"ciglio/portal/record"
	"ciglio/portal/register"
)

// purpose says in a line what the program is for.
const purpose = "receives, verifies and shows the evidence of speed cameras"

// errUsage marks wrong use of a command.
var errUsage = errors.New("wrong use")

// errCertificate marks a certificate file that cannot be read.
var errCertificate = errors.New("certificate")

// A command fills its flags, then runs. What it returns is printed: as JSON with
// --json, otherwise with its String method.
type command struct {
	name, args, does string
	flags            func(*flag.FlagSet) func(ctx context.Context, stdout, stderr io.Writer, asJSON bool) (any, error)
}

// commands returns the table of all commands.
func commands() []command {
	return []command{
		{"init", "--dir DIR", "make a centre: keys, register, store", initFlags},
		{"enrol", "--dir DIR --device HEX --cert FILE | --code", "add a device's evidence key, or print the one-time code for its TLS certificate", enrolFlags},
		{"serve", "--dir DIR | --config FILE", "receive, answer, show", serveFlags},
		{"config", "", "print a configuration for serve with every key and what it is", configFlags},
		{"officer", "--dir DIR --key FILE", "make an officer's key and add it to the register", officerFlags},
		{"order", "--dir DIR --device HEX --kind KIND", "sign an order for a device, and keep it to be sent", orderFlags},
		{"order-carry", "--dir DIR --file FILE", "take an order that was signed elsewhere, to be sent", carryFlags},
		{"provision-trust", "--dir DIR --roles FILE --version N --to TIME --out FILE", "make the trust bundle of this centre, for the root to sign", trustBundleFlags},
		{"provision-inspect", "--bundle FILE [--trust BUNDLE]", "say what is in a provisioning bundle, and whether its signatures are complete", inspectFlags},
		{"backup", "--dir DIR | --config FILE --to FOLDER", "copy everything but the private keys while it works, and name what is missing or damaged", backupFlags},
		{"restore", "--from FOLDER --dir DIR | --config FILE", "put a copy back where nothing is, and name what it lacks", restoreFlags},
		{"check", "--dir DIR | --config FILE", "compute everything from the signed bytes, and name what is not as they say", checkFlags},
		{"migrate", "--from FILE --to FILE", "copy the store from where one configuration has it to where another has", migrateFlags},
		{"request", "--dir DIR --out FILE", "ask a root on another machine for keys to be entered or revoked", requestFlags},
		{"root", "--key FILE", "on the root's machine: make its key, look at a request or a bundle, sign it", rootFlags},
		{"install", "--dir DIR --request FILE --answer FILE", "put the root's answer in its place", installFlags},
		{"backup-keys", "--dir DIR --to FILE --recipient KEY", "encrypt the private keys (age)", backupKeysFlags},
		{"restore-keys", "--dir DIR --from FILE --identity FILE", "decrypt them where they are missing", restoreKeysFlags},
		{"authority", "--dir DIR", "show, make, rotate or retire the authority for TLS", authorityFlags},
		{"mosquitto", "--dir DIR --name HOST --to FOLDER", "write what Mosquitto needs, or renew it", mosquittoFlags},
		{"revoke", "--dir DIR --device HEX", "revoke a device's TLS certificates", revokeFlags},
		{"law ask", "", "answer questions about sums and terms, one JSON object a line, from standard input", lawAskFlags},
		{"law check", "TABLE", "recompute a new table of sanctions from the one before and the announced rate", lawCheckFlags},
		{"cases rebuild", "--dir DIR | --database URL [--check]", "make what lists show of cases anew from their acts, or say where it differs", casesRebuildFlags},
		{"version", "", "what this program is", versionFlags},
	}
}

// Main is the program ciglio-portal: it runs the command in args and returns the
// exit code, 0 good, 1 failed, 2 wrong use.
func Main(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		usage(stderr)
		return 2
	}
	switch args[0] {
	case "help":
		switch {
		case len(args) == 1:
			usage(stdout)
			return 0
		case len(args) <= 3 && !strings.HasPrefix(args[1], "-"):
			args = append(args[1:], "--help")
		default:
			usage(stdout)
			return 0
		}
	case "-h", "-help", "--help":
		usage(stdout)
		return 0
	case "-v", "-version", "--version":
		args = append([]string{"version"}, args[1:]...)
	}
	for _, c := range commands() {
		if n := len(strings.Fields(c.name)); n <= len(args) && c.name == strings.Join(args[:n], " ") {
			return c.run(args[n:], stdout, stderr)
		}
	}
	hint := "ciglio-portal help lists them"
	for _, c := range commands() {
		if strings.HasPrefix(c.name, args[0]+" ") {
			hint += "; " + c.line()
		}
	}
	fmt.Fprintf(stderr, "ciglio-portal: no command %q\nhint: %s\n", strings.Join(args[:min(len(args), 2)], " "), hint)
	return 2
}

func usage(w io.Writer) {
	fmt.Fprintf(w, "ciglio-portal %s\n\n", purpose)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range commands() {
		fmt.Fprintf(t, "  %s\t%s\n", c.line(), c.does)
	}
	t.Flush()
	fmt.Fprintln(w, "\nEvery command has --json and --help; ciglio-portal help COMMAND tells the same. Exit codes: 0 good, 1 failed, 2 wrong use.")
}

// line is how the command is typed.
func (c command) line() string { return strings.TrimSpace("ciglio-portal " + c.name + " " + c.args) }

// operands is how many words without a flag it takes: those its args begin with.
func (c command) operands() int {
	if c.args == "" || strings.HasPrefix(c.args, "-") {
		return 0
	}
	return 1
}

// help tells what the command does and what its flags are.
func (c command) help(w io.Writer, flags *flag.FlagSet) {
	fmt.Fprintf(w, "usage: %s\n\n%s.\n\n", c.line(), strings.ToUpper(c.does[:1])+c.does[1:])
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	flags.VisitAll(func(o *flag.Flag) {
		value, does := flag.UnquoteUsage(o)
		if o.DefValue != "" && o.DefValue != "false" {
			does += " (default " + o.DefValue + ")"
		}
		fmt.Fprintf(t, "  %s\t%s\n", strings.TrimSpace("--"+o.Name+" "+value), does)
	})
	t.Flush()
}

func (c command) run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("ciglio-portal "+c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // what is wrong is said below, in a line
	asJSON := flags.Bool("json", false, "print JSON")
	run := c.flags(flags)
	wrong := func(format string, a ...any) int {
		what := strings.ReplaceAll(fmt.Sprintf(format, a...), "\n", "; ")
		fmt.Fprintf(stderr, "ciglio-portal %s: %s\nhint: ciglio-portal help %s tells how it is used\n", c.name, what, c.name)
		return 2
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		c.help(stdout, flags)
		return 0
	case err != nil:
		return wrong("%v", err)
	case flags.NArg() > c.operands():
		return wrong("unexpected argument %q", flags.Arg(c.operands()))
	case flags.NArg() < c.operands():
		return wrong("%s is missing", c.args)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	result, err := run(ctx, stdout, stderr, *asJSON)
	if errors.Is(err, errUsage) {
		return wrong("%v", err)
	}
	if err != nil {
		if *asJSON {
			v := map[string]any{"error": err.Error()}
			var damage *record.DamageError
			if errors.As(err, &damage) {
				v["damaged"], v["ranges"] = damage.Things, damage.Ranges()
			}
			var found *wrongness
			if errors.As(err, &found) {
				v["error"], v["check"] = errWrong.Error(), found.result
			}
			json.NewEncoder(stdout).Encode(v)
		}
		fmt.Fprintf(stderr, "ciglio-portal %s: %v\n", c.name, err)
		if hint := hint(err); hint != "" {
			fmt.Fprintf(stderr, "hint: %s\n", hint)
		}
		return 1
	}
	if result == nil {
		return 0
	}
	if *asJSON {
		err = json.NewEncoder(stdout).Encode(result)
	} else {
		_, err = fmt.Fprintln(stdout, result)
	}
	if err != nil {
		return 1
	}
	return 0
}

// hint says what an operator can do about an error.
func hint(err error) string {
	switch {
	case errors.Is(err, ErrNotLoopback):
		return "devices connect at --mqtt tls://ADDRESS, with certificates; for pages put a protected proxy in front, or allow it with --allow-remote"
	case errors.Is(err, ErrNoNames):
		return "--name HOST, once for each name or address by which devices reach this machine"
	case errors.Is(err, ca.ErrNoCA):
		return "make one with: ciglio-portal authority --dir DIR --make; one that was lost comes from a backup"
	case errors.Is(err, database.ErrLocked):
		return "another ciglio-portal serves this directory"
	case errors.Is(err, errCentreKey):
		return "use the centre.key that the register in trust.pem names"
	case errors.Is(err, ErrNewest):
		return "the newest checkpoint of the log, which must not be taken back: --checkpoint FILE, from the folder that was lost, a witness or a monitor; --no-newer where nobody has one (docs/operation.md)"
	case errors.Is(err, log.ErrRolledBack):
		return "it receives, and publishes nothing more of its log: find a newer copy, or the disk that was lost (docs/operation.md)"
	case errors.Is(err, ErrNotEmpty), errors.Is(err, database.ErrOccupied):
		return "a copy is put where nothing is: a new directory, an empty database, an empty bucket"
	case errors.Is(err, errWrong):
		return "docs/operation.md says what each finding means, and what to do"
	case errors.Is(err, ErrServed):
		return "systemctl stop ciglio-portal"
	case errors.Is(err, ErrExists):
		return "choose another directory; init never replaces a centre"
	case errors.Is(err, errNoDevice):
		return "ciglio-portal enrol adds a device"
	case errors.Is(err, errOffice):
		return "reopen, export and console are signed with --key and an officer's key, all else without"
	case errors.Is(err, register.ErrEnrolled):
		return "a device that got a new key or a new store needs the next --epoch"
	case errors.Is(err, register.ErrNotInForce):
		return "set the device's clock, remove its certificate file and start it again: it makes a new one"
	case errors.Is(err, register.ErrOtherDevice):
		return "--device is the device.id of the very device that made the certificate"
	case errors.Is(err, record.ErrDamaged), errors.Is(err, register.ErrLost):
		return "keep the last copy that was whole, and see to the disk"
	case errors.Is(err, errCertificate):
		return "--cert names the certificate that the device makes at its first start"
	case errors.Is(err, register.ErrAnswer):
		return "the register has changed since the request was made, or the answer is another centre's"
	case errors.Is(err, ErrOtherRequest):
		return "look at it again on both machines: ciglio-portal root --key FILE --request FILE"
	case errors.Is(err, keys.ErrMissing):
		return "put the key file back from where it is kept"
	case errors.Is(err, errCasesDiffer):
		return "without --check the tables are made anew"
	case errors.Is(err, errCasesDamaged):
		return "nothing makes acts anew: compare the newest backup, and find who changed the database"
	case errors.Is(err, ErrNoCentre):
		return "make a centre with: ciglio-portal init --dir DIR; one that lost its trust.pem gets it back from a backup"
	}
	return ""
}

func needDir(flags *flag.FlagSet) *string {
	return flags.String("dir", "", "`directory` of the centre (required)")
}

func required(name, value string) error {
	if value == "" {
		return fmt.Errorf("%w: --%s is missing", errUsage, name)
	}
	return nil
}

// warnOpen names what of a centre's folder others can read or enter: what the
// centre writes is its owner's alone, but a folder may have been there before.
func warnOpen(stderr io.Writer, dir string) {
	open, _ := record.OpenToOthers(dir) // whoever wrote there has said what fails
	for _, path := range open {
		fmt.Fprintf(stderr, "warning: others on this machine can read or enter %s: chmod go-rwx\n", path)
	}
}

type initResult struct {
	Dir   string `json:"dir"`
	Trust string `json:"trust"`
	Root  string `json:"root"`
}

func (r initResult) String() string {
	return fmt.Sprintf("centre made in %s\ntrust file  %s\nroot key    %s\nPublish the root key's value: whoever compares it knows the trust file is yours.\nWhoever takes %s can enter keys: keep it on a machine without network once devices are enrolled (docs/ceremony.md).", r.Dir, r.Trust, r.Root, filepath.Join(r.Dir, rootKeyName))
}

func initFlags(flags *flag.FlagSet) func(context.Context, io.Writer, io.Writer, bool) (any, error) {
	dir := needDir(flags)
	request := flags.String("request", "", "`file` to bring to a root on another machine, instead of making a root here")
	return func(_ context.Context, _, stderr io.Writer, _ bool) (any, error) {
		if err := required("dir", *dir); err != nil {
			return nil, err
		}
		if *request != "" {
			r, err := InitForRoot(*dir, time.Now())
			warnOpen(stderr, *dir)
			if err != nil {
				return nil, err
			}
			return writeRequest(*request, r)
		}
		root, err := Init(*dir)
		warnOpen(stderr, *dir)
		return initResult{Dir: *dir, Trust: TrustFile(*dir), Root: root.String()}, err
	}
}

type enrolResult struct {
	Device      string `json:"device"`
	Epoch       uint64 `json:"epoch"`
	Certificate string `json:"certificate"`
	NotBefore   string `json:"not_before"`
	NotAfter    string `json:"not_after"`
	Trust       string `json:"trust"`
}

func (r enrolResult) String() string {
	return fmt.Sprintf("device %s epoch %d enrolled, key valid from %s to %s\ntrust file  %s", r.Device, r.Epoch, r.NotBefore, r.NotAfter, r.Trust)
}

func enrolFlags(flags *flag.FlagSet) func(context.Context, io.Writer, io.Writer, bool) (any, error) {
	dir := needDir(flags)
	device := flags.String("device", "", "device id, 32 `hexadecimal` digits (required)")
	cert := flags.String("cert", "", "`file` with the certificate of its evidence key, PEM")
	code := flags.Bool("code", false, "print a one-time code by which the device gets its TLS certificate")
	epoch := flags.Uint64("epoch", 1, "epoch of the device, one more for each new key or store")
	return func(context.Context, io.Writer, io.Writer, bool) (any, error) {
		if err := errors.Join(required("dir", *dir), required("device", *device)); err != nil {
			return nil, err
		}
		if *code == (*cert != "") {
			return nil, fmt.Errorf("%w: want either --cert or --code", errUsage)
		}
		id, err := evidence.ParseDeviceID(*device)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errUsage, err)
		}
		if *code {
			return newCode(*dir, id)
		}
		text, err := os.ReadFile(*cert)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errCertificate, err)
		}
		certificate, err := ReadCertificate(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", *cert, err)
		}
		entry, err := Enrol(*dir, id, *epoch, certificate)
		const layout = "2006-01-02 15:04:05 UTC"
		return enrolResult{
			Device: *device, Epoch: *epoch, Certificate: entry.Certificate.String(),
			NotBefore: entry.NotBefore.UTC().Format(layout), NotAfter: entry.NotAfter.UTC().Format(layout), Trust: TrustFile(*dir),
		}, err
	}
}

type versionResult struct {
	Version string `json:"version"`
	Go      string `json:"go"`
}

func (r versionResult) String() string { return "ciglio-portal " + r.Version + " " + r.Go }

func versionFlags(*flag.FlagSet) func(context.Context, io.Writer, io.Writer, bool) (any, error) {
	return func(context.Context, io.Writer, io.Writer, bool) (any, error) {
		r := versionResult{Version: "unknown"}
		if info, ok := debug.ReadBuildInfo(); ok {
			r.Version, r.Go = info.Main.Version, info.GoVersion
		}
		return r, nil
	}
}

type serving struct {
	Pages string `json:"pages,omitempty"`
	// Citizens is where the pages are that anybody may read.
	Citizens string `json:"citizens,omitempty"`
	MQTT     string `json:"mqtt,omitempty"`
	EST      string `json:"est,omitempty"`
	Metrics  string `json:"metrics,omitempty"`
	Log      string `json:"log"`

	encryptedPages, encryptedCitizens, encryptedMQTT bool
}

func (r serving) String() string {
	scheme := func(encrypted bool, name string) string {
		if !encrypted {
			return name
		}
		return map[string]string{"http": "https", "tcp": "tls"}[name]
	}
	var lines []string
	if r.Pages != "" {
		lines = append(lines, "pages  "+scheme(r.encryptedPages, "http")+"://"+r.Pages+"/")
	}
	if r.Citizens != "" {
		lines = append(lines, "citizens "+scheme(r.encryptedCitizens, "http")+"://"+r.Citizens+"/")
	}
	if r.MQTT != "" {
		lines = append(lines, "broker "+scheme(r.encryptedMQTT, "tcp")+"://"+r.MQTT)
	}
	if r.EST != "" {
		lines = append(lines, "enrol  https://"+r.EST+est.Root)
	}
	if r.Metrics != "" {
		lines = append(lines, "figures http://"+r.Metrics+"/metrics")
	}
	return strings.Join(append(lines, "log    "+r.Log), "\n")
}

func serveFlags(flags *flag.FlagSet) func(context.Context, io.Writer, io.Writer, bool) (any, error) {
	var o Options
	config := flags.String("config", "", "`file` with all of this and more, TOML: ciglio-portal config prints one; flags override it")
	flags.StringVar(&o.Dir, "dir", "", "`directory` of the centre (required, here or in the file)")
	flags.StringVar(&o.Listen, "listen", DefaultListen, "`address` of the pages")
	flags.StringVar(&o.MQTT, "mqtt", DefaultMQTT, "`address` of the embedded broker; tls://ADDRESS for any but this machine's own")
	flags.StringVar(&o.Broker, "broker", "", "`URL` of another broker to use, tls://host:port, or tcp://host:port on this machine")
	flags.StringVar(&o.BrokerFiles.Authority, "broker-ca", "", "`file` with whom to believe to be that broker, PEM (default DIR/ca/believed.pem)")
	flags.StringVar(&o.BrokerFiles.Certificate, "broker-cert", "", "`file` with what the centre shows it, PEM (default DIR/ca/centre.crt)")
	flags.StringVar(&o.BrokerFiles.Key, "broker-key", "", "`file` with the key of that, PEM (default DIR/ca/centre.key)")
	flags.StringVar(&o.BrokerLog, "broker-log", "", "`file` that Mosquitto writes its log to: what it refuses is told from there")
	flags.StringVar(&o.EST, "est", "", "`address` where devices get their TLS certificates (RFC 7030)")
	names := many(flags, "name", "`host` name or address by which devices reach this machine; may be given several times")
	flags.StringVar(&o.Pages.Certificate, "pages-cert", "", "`file` with the certificate of the pages, PEM")
	flags.StringVar(&o.Pages.Key, "pages-key", "", "`file` with its key, PEM")
	flags.StringVar(&o.Metrics, "metrics", "", "`address` of figures for Prometheus, at /metrics")
	flags.StringVar(&o.Citizens, "citizens", "", "`address` of the pages that anybody may read; empty: nowhere")
	flags.StringVar(&o.Witnesses, "witnesses", "", "`file` with the witnesses who cosign the log, a line each: witness NAME KEY URL")
	flags.Var(list{&o.Roles}, "roles", "`roles` of this process, with commas between: "+strings.Join(roles, ", ")+" (default all)")
	flags.Var(list{&o.Shards}, "shard", "`shards` of devices to take, with commas between (default "+DefaultShard+")")
	flags.BoolVar(&o.AllowRemote, "allow-remote", false, "let other machines reach the pages, which ask nobody who they are")
	return func(ctx context.Context, stdout, stderr io.Writer, asJSON bool) (any, error) {
		if err := o.under(*config, flags); err != nil {
			return nil, err
		}
		if err := required("dir", o.Dir); err != nil {
			return nil, err
		}
		var handler slog.Handler = slog.NewTextHandler(stderr, nil)
		if asJSON {
			handler = slog.NewJSONHandler(stderr, nil)
		}
		o.Log = slog.New(handler)
		if len(*names) > 0 {
			o.Names = *names
		}
		o.BrokerFiles = brokerFiles(o.Dir, o.BrokerFiles)
		p, err := New(ctx, o)
		if err != nil {
			return nil, err
		}
		if o.AllowRemote {
			o.Log.Warn("pages may be reached from other machines and ask nobody who they are")
		}
		addresses := serving{Pages: p.Addr(), Citizens: p.CitizensAddr(), encryptedCitizens: o.CitizensTLS.enabled(), MQTT: p.MQTTAddr(), EST: p.ESTAddr(), Metrics: p.MetricsAddr(), Log: p.LogKey(), encryptedPages: o.Pages.enabled(), encryptedMQTT: strings.HasPrefix(o.MQTT, "tls://")}
		if asJSON {
			err = json.NewEncoder(stdout).Encode(addresses)
		} else {
			_, err = fmt.Fprintln(stdout, addresses)
		}
		if err != nil {
			return nil, errors.Join(err, p.Close())
		}
		stop := reloadOnHangup(p, o.Log)
		err = p.Run(ctx)
		stop()
		return nil, errors.Join(err, p.Close())
	}
}

// A list is a flag of words with commas between.
type list struct{ words *[]string }

func (l list) String() string {
	if l.words == nil {
		return ""
	}
	return strings.Join(*l.words, ",")
}

func (l list) Set(s string) error {
	*l.words = strings.Split(s, ",")
	return nil
}

// under reads a configuration file, if there is one, and sets what flags have said again.
func (o *Options) under(config string, flags *flag.FlagSet) error {
	if config == "" {
		return nil
	}
	said := map[string]string{}
	flags.Visit(func(f *flag.Flag) {
		if f.Name != "name" { // which adds up, and is looked at later
			said[f.Name] = f.Value.String()
		}
	})
	var err error
	if *o, err = ReadOptions(config); err != nil {
		return err
	}
	for name, value := range said {
		if err := flags.Set(name, value); err != nil {
			return err
		}
	}
	return nil
}

// reloadOnHangup has SIGHUP read the register again.
func reloadOnHangup(p *Portal, log *slog.Logger) (stop func()) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range hangup {
			if err := p.Reload(); err != nil {
				log.Error("device register refused", "error", err)
			} else {
				log.Info("device register read")
			}
		}
	}()
	return func() {
		signal.Stop(hangup)
		close(hangup)
		<-done
	}
}
