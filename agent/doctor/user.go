package doctor

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// ServiceUser is the user that the package makes for the service.
const ServiceUser = "ciglio"

// An account is who wants to open something.
type account struct {
	name string
	uid  int
	gids []int
}

// account returns whom the checks of permissions mean: the user named, else the
// one of the service where there is one, else who asks.
func (e *examination) account() (account, error) {
	name := cmp.Or(e.User, e.unitSetting("User"))
	passwd := e.text("/etc/passwd")
	if name == "" && passwdLine(passwd, ServiceUser) != nil {
		name = ServiceUser
	}
	if name == "" {
		return e.asker(), nil
	}
	f := passwdLine(passwd, name)
	if f == nil {
		return account{}, fmt.Errorf("no user %s on this machine", name)
	}
	uid, err1 := strconv.Atoi(f[2])
	gid, err2 := strconv.Atoi(f[3])
	if err := cmp.Or(err1, err2); err != nil {
		return account{}, fmt.Errorf("/etc/passwd: %s: %w", name, err)
	}
	who := account{name, uid, []int{gid}}
	extra := strings.Fields(strings.Join(e.unitSettings("SupplementaryGroups"), " "))
	for line := range strings.Lines(e.text("/etc/group")) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 4 {
			continue
		}
		if slices.Contains(strings.Split(f[3], ","), name) || slices.Contains(extra, f[0]) {
			if gid, err := strconv.Atoi(f[2]); err == nil {
				who.gids = append(who.gids, gid)
			}
		}
	}
	return who, nil
}

// asker is who runs this.
func (e *examination) asker() account {
	a := account{uid: e.UID, gids: e.GIDs, name: "user " + strconv.Itoa(e.UID)}
	if e.UID == 0 {
		a.name = "root"
	}
	for line := range strings.Lines(e.text("/etc/passwd")) {
		if f := strings.Split(line, ":"); len(f) > 2 && f[2] == strconv.Itoa(e.UID) {
			a.name = f[0]
		}
	}
	return a
}

// opener is whose permissions count for ports, lines and cameras. When there is
// no such user, which the check "user" says, it is who asks.
func (e *examination) opener() account {
	a, err := e.account()
	if err != nil {
		return e.asker()
	}
	return a
}

func passwdLine(passwd, name string) []string {
	for line := range strings.Lines(passwd) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) > 3 && f[0] == name {
			return f
		}
	}
	return nil
}

const (
	toExecute = 1 << iota
	toWrite
	toRead
)

// may reports whether a may use a file in that way, by owner, group and mode.
// Access lists are not looked at.
func (a account) may(info fs.FileInfo, want fs.FileMode) bool {
	if a.uid == 0 {
		return true
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	mode := info.Mode().Perm()
	switch {
	case int(stat.Uid) == a.uid:
		mode >>= 6
	case slices.Contains(a.gids, int(stat.Gid)):
		mode >>= 3
	}
	return mode&want == want
}

// open says what keeps a from opening a file, "" when nothing does.
func (e *examination) open(a account, name string, want fs.FileMode) (obstacle, hint string) {
	name = e.resolve(name)
	for dir := path.Dir(name); dir != "/"; dir = path.Dir(dir) {
		if info, err := fs.Stat(e.Root, inFS(dir)); err == nil && !a.may(info, toExecute) {
			return fmt.Sprintf("%s may not enter %s", a.name, dir), "open that folder to the user (chmod o+x)"
		}
	}
	info, err := fs.Stat(e.Root, inFS(name))
	if err != nil {
		return plain(err), "make it, or correct the configuration"
	}
	switch {
	case !a.may(info, want):
	case info.Mode().Type() == fs.ModeNamedPipe:
		return "", "" // no device
	default:
		return e.shutOut(name)
	}
	group := e.groupOf(info)
	obstacle = fmt.Sprintf("%s may not open it (%v, group %s)", a.name, info.Mode().Perm(), group)
	if group == "root" || info.Mode().Perm()>>3&want != want {
		return obstacle, "give it to the user or to a group of theirs: by a udev rule for a device, by chown for a file"
	}
	return obstacle, fmt.Sprintf("usermod -aG %s %s, then start the service anew", group, a.name)
}

func (e *examination) groupOf(info fs.FileInfo) string {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "?"
	}
	gid := strconv.Itoa(int(stat.Gid))
	for line := range strings.Lines(e.text("/etc/group")) {
		if f := strings.Split(line, ":"); len(f) > 2 && f[2] == gid {
			return f[0]
		}
	}
	return gid
}

// user looks at whom the service runs as, and at the files that are its own.
// What it may do with ports, lines and cameras stands on their lines.
func (e *examination) user(context.Context) []Line {
	a, err := e.account()
	if err != nil {
		return []Line{doubt(Fail, "user", err.Error(), "useradd --system, or name another one with --user")}
	}
	lines := []Line{pass("user", "%s (%d), groups %s", a.name, a.uid, joinInts(a.gids))}
	if a.uid == 0 {
		lines[0] = doubt(Warn, "user", "root: every fault of the program could do anything",
			"run the service as a user of its own; with --user NAME this looks at what that one may do")
	}
	if e.Dir != "" {
		lines = append(lines, e.stateDir(a))
	}
	if e.Key != "" {
		lines = append(lines, e.key(a))
	}
	return lines
}

func (e *examination) stateDir(a account) Line {
	near, there := e.nearest(e.Dir), e.exists(e.Dir)
	obstacle, hint := e.open(a, near, toRead|toWrite|toExecute)
	switch {
	case !there && obstacle != "":
		return doubt(e.needed(), e.Dir, "not there, and "+a.name+" may not make it in "+near,
			fmt.Sprintf("install -d -m 0700 -o %s %s", a.name, e.Dir))
	case !there:
		return pass(e.Dir, "not there yet; the first start makes it")
	case obstacle != "":
		return doubt(Fail, e.Dir, obstacle, hint)
	case e.readOnly(near):
		return doubt(Fail, e.Dir, "the service's unit lets nothing write there (ProtectSystem=strict)",
			"systemctl edit ciglio: [Service], ReadWritePaths="+e.Dir)
	}
	if info, err := fs.Stat(e.Root, inFS(near)); err == nil && info.Mode().Perm()&toWrite != 0 {
		return doubt(Fail, e.Dir, "everybody may write there", "chmod 0700 "+e.Dir)
	}
	return pass(e.Dir, "%s may read and write", a.name)
}

func (e *examination) key(a account) Line {
	info, err := fs.Stat(e.Root, inFS(e.Key))
	switch {
	case isPermission(err):
		return unreadable(e.Key, err)
	case err != nil:
		return pass(e.Key, "no evidence key yet; the first start makes it")
	}
	mode := info.Mode().Perm()
	if mode&0o077 != 0 {
		return doubt(Fail, e.Key, fmt.Sprintf("evidence key of mode %#o: others than its owner can take it", mode), "chmod 0600 "+e.Key)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != a.uid || !a.may(info, toRead) {
		return doubt(Fail, e.Key, fmt.Sprintf("evidence key that %s does not own or may not read", a.name), fmt.Sprintf("chown %s %s", a.name, e.Key))
	}
	return pass(e.Key, "evidence key of %s alone, mode %#o", a.name, mode)
}

func joinInts(n []int) string {
	var s []string
	for _, n := range n {
		s = append(s, strconv.Itoa(n))
	}
	return strings.Join(s, " ")
}
