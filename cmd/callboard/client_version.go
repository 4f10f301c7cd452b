package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is the release; a build may set it with -ldflags "-X main.version=…".
var version = "0.1.0-dev"

// revision returns the commit that the binary was built from; empty: unknown.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}

func versionCommand(g *globals) *cobra.Command {
	cmd := leaf("version", "Show the version of this binary", nil, func(*cobra.Command, []string) error {
		j := struct {
			Version  string `json:"version"`
			Revision string `json:"revision"`
			Go       string `json:"go"`
			Platform string `json:"platform"`
		}{version, revision(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
		return g.print(j, func(t *table) {
			t.row("callboard", j.Version)
			t.row("revision", j.Revision)
			t.row("go", j.Go)
			t.row("platform", j.Platform)
		})
	})
	idle(cmd, ": it asks no cluster; `callboard status` shows the versions of the nodes", "address", "namespace", "timeout", "tls-ca", "tls-cert", "tls-key", "tls-server-name")
	return cmd
}
