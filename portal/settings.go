package portal

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"io"
	"time"

	"ciglio/internal/durable"
	"ciglio/internal/mtls"
	"ciglio/internal/strict"
	"ciglio/portal/blob"
)

// centreTOML is the configuration with every key, its value when left out, and what it is.
//
//go:embed centre.toml
var centreTOML string

// settings is the configuration file of a centre.
type settings struct {
	Centre struct {
		Dir string `toml:"dir"`
	} `toml:"centre"`
	Roles struct {
		Run      []string `toml:"run"`
		Shards   []string `toml:"shards"`
		Takeover string   `toml:"takeover"`
	} `toml:"roles"`
	Pages struct {
		Listen      string `toml:"listen"`
		Certificate string `toml:"certificate"`
		Key         string `toml:"key"`
		AllowRemote bool   `toml:"allow_remote"`
	} `toml:"pages"`
	Citizens struct {
		Listen      string `toml:"listen"`
		Certificate string `toml:"certificate"`
		Key         string `toml:"key"`
	} `toml:"citizens"`
	MQTT struct {
		Listen      string `toml:"listen"`
		Broker      string `toml:"broker"`
		Authority   string `toml:"authority"`
		Certificate string `toml:"certificate"`
		Key         string `toml:"key"`
		Log         string `toml:"log"`
	} `toml:"mqtt"`
	Enrolment struct {
		Listen string   `toml:"listen"`
		Names  []string `toml:"names"`
	} `toml:"enrolment"`
	Database struct {
		URL string `toml:"url"`
	} `toml:"database"`
	Blobs struct {
		Endpoint string `toml:"endpoint"`
		Bucket   string `toml:"bucket"`
		Region   string `toml:"region"`
	} `toml:"blobs"`
	Metrics struct {
		Listen string `toml:"listen"`
	} `toml:"metrics"`
	Log struct {
		Witnesses string `toml:"witnesses"`
	} `toml:"log"`
}

// ReadOptions reads a configuration file: TOML in which every key is known. What it
// leaves out is as in the file that ciglio-portal config prints.
func ReadOptions(path string) (Options, error) {
	text, err := durable.ReadAtMost(path, 1<<20)
	if err != nil {
		return Options{}, err
	}
	o, err := parseOptions(string(text))
	if err != nil {
		return o, fmt.Errorf("%s: %w", path, err)
	}
	return o, nil
}

func parseOptions(text string) (Options, error) {
	var s settings
	for _, layer := range []string{centreTOML, text} {
		if _, err := strict.Decode(layer, &s); err != nil {
			return Options{}, err
		}
	}
	o := Options{
		Dir: s.Centre.Dir, Roles: s.Roles.Run, Shards: s.Roles.Shards,
		Listen: s.Pages.Listen, Pages: PagesTLS{Certificate: s.Pages.Certificate, Key: s.Pages.Key}, AllowRemote: s.Pages.AllowRemote,
		Citizens: s.Citizens.Listen, CitizensTLS: PagesTLS{Certificate: s.Citizens.Certificate, Key: s.Citizens.Key},
		MQTT: s.MQTT.Listen, Broker: s.MQTT.Broker, BrokerLog: s.MQTT.Log,
		BrokerFiles: mtls.Files{Authority: s.MQTT.Authority, Certificate: s.MQTT.Certificate, Key: s.MQTT.Key},
		EST:         s.Enrolment.Listen, Names: s.Enrolment.Names,
		Database: s.Database.URL, Witnesses: s.Log.Witnesses, Metrics: s.Metrics.Listen,
	}
	var err error
	if o.Takeover, err = time.ParseDuration(s.Roles.Takeover); err != nil || o.Takeover < time.Second || o.Takeover > time.Hour {
		return o, fmt.Errorf("roles.takeover %q: want from 1s to 1h", s.Roles.Takeover)
	}
	switch b := s.Blobs; {
	case b.Endpoint == "" && (b.Bucket != "" || b.Region != ""):
		return o, fmt.Errorf("blobs.endpoint is missing")
	case b.Endpoint != "" && b.Bucket == "":
		return o, fmt.Errorf("blobs.bucket is missing")
	case b.Endpoint != "":
		o.S3 = &blob.S3Options{Endpoint: b.Endpoint, Bucket: b.Bucket, Region: b.Region}
	}
	return o, nil
}

// configFlags prints the configuration with every key.
func configFlags(*flag.FlagSet) func(context.Context, io.Writer, io.Writer, bool) (any, error) {
	return func(_ context.Context, stdout, _ io.Writer, _ bool) (any, error) {
		_, err := io.WriteString(stdout, centreTOML)
		return nil, err
	}
}
