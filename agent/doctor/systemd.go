package doctor

import (
	"path"
	"slices"
	"strings"
)

// settings returns the values of a key in a systemd file and its drop-ins, in
// the order in which they count. Of files of one name the first counts, as
// systemd.unit(5) says: /etc, /run, then the packages'.
func (e *examination) settings(folder, file, key string) (values []string) {
	roots := []string{"/etc/systemd", "/run/systemd", "/usr/lib/systemd", "/lib/systemd"}
	var files []string
	for _, root := range roots {
		if f := path.Join(root, folder, file); e.exists(f) {
			files = append(files, f)
			break
		}
	}
	drops := map[string]string{}
	for _, root := range slices.Backward(roots) {
		for _, f := range e.glob(path.Join(root, folder, file+".d", "*.conf")) {
			drops[path.Base(f)] = f
		}
	}
	var names []string
	for name := range drops {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		files = append(files, drops[name])
	}
	for _, f := range files {
		for line := range strings.Lines(e.text(f)) {
			k, v, ok := strings.Cut(strings.TrimSpace(line), "=")
			if !ok || strings.TrimSpace(k) != key {
				continue
			}
			if v = strings.TrimSpace(v); v == "" {
				values = nil // an empty value takes back those before
			} else {
				values = append(values, v)
			}
		}
	}
	return values
}

// unitSettings returns all values of a setting of the service's unit.
func (e *examination) unitSettings(key string) []string {
	return e.settings("system", "ciglio.service", key)
}

// unitSetting returns the value that counts of one that has but one.
func (e *examination) unitSetting(key string) string { return last(e.unitSettings(key)) }

// systemdSetting is the same of a setting of systemd itself.
func (e *examination) systemdSetting(file, key string) string { return last(e.settings("", file, key)) }

func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// shutOut says that the service's unit keeps it from a device, "" when it does not.
func (e *examination) shutOut(device string) (obstacle, hint string) {
	if policy := e.unitSetting("DevicePolicy"); !strings.HasPrefix(device, "/dev/") || policy != "closed" && policy != "strict" {
		return "", ""
	}
	class := "char-" + class(path.Base(device))
	for _, rule := range e.unitSettings("DeviceAllow") {
		if what, _, _ := strings.Cut(rule, " "); what == device || what == class || what == "char-*" {
			return "", ""
		}
	}
	return "the service's unit refuses it (DevicePolicy)", "systemctl edit ciglio: [Service], DeviceAllow=" + class + " rw; then start the service anew"
}

// class is the name in /proc/devices of the class of a device file.
func class(name string) string {
	stem := strings.TrimRight(name, "0123456789.")
	switch stem {
	case "video":
		return "video4linux"
	case "spidev":
		return "spi"
	}
	return stem
}

// readOnly reports whether the service's unit keeps it from writing in a folder.
func (e *examination) readOnly(dir string) bool {
	if e.unitSetting("ProtectSystem") != "strict" {
		return false
	}
	free := e.unitSettings("ReadWritePaths")
	for _, name := range strings.Fields(strings.Join(e.unitSettings("StateDirectory"), " ")) {
		free = append(free, path.Join("/var/lib", name))
	}
	for _, f := range strings.Fields(strings.Join(free, " ")) {
		f = e.resolve(strings.TrimLeft(f, "-+"))
		if dir == f || strings.HasPrefix(dir, f+"/") {
			return false
		}
	}
	return true
}

// serviceEnv returns a variable of the service's environment and where it is
// set: in its unit, or here where there is no unit.
func (e *examination) serviceEnv(name string) (value, from string) {
	for _, line := range e.unitSettings("Environment") {
		for _, field := range strings.Fields(line) {
			if v, ok := strings.CutPrefix(strings.Trim(field, `"'`), name+"="); ok {
				value, from = v, "in the service's unit"
			}
		}
	}
	if value != "" {
		return value, from
	}
	for _, v := range e.Env {
		if v, ok := strings.CutPrefix(v, name+"="); ok {
			return v, "in this environment"
		}
	}
	return "", ""
}
