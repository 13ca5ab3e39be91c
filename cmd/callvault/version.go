package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"callvault/audio"

	"github.com/spf13/cobra"
)

// version returns the program's version, from what the build recorded of its module and
// commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" && v == "(devel)" {
			v = "devel-" + setting.Value[:min(12, len(setting.Value))]
		}
	}
	return v
}

func versionCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version, and whether this machine can encode audio",
		Example: "  callvault version",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			encoder, err := audio.Library()
			if err != nil {
				encoder = err.Error()
			}
			if o.json {
				return printJSON(c.OutOrStdout(), map[string]string{
					"version": version(), "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH, "encoder": encoder,
				})
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "callvault %s (%s %s/%s)\nencoder: %s\n",
				version(), runtime.Version(), runtime.GOOS, runtime.GOARCH, encoder)
			return err
		},
	}
}
