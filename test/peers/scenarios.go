package peers

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"
)

//go:embed scenarios/*.xml
var scenarioFiles embed.FS

// Scenario returns the XML of a scenario of this package by its name without
// ".xml", for instance "uac_call". scenarios/README.md lists them.
func Scenario(name string) (string, error) {
	b, err := scenarioFiles.ReadFile("scenarios/" + name + ".xml")
	if err != nil {
		return "", fmt.Errorf("no SIPp scenario %q; there are %s", name, strings.Join(Scenarios(), ", "))
	}
	return string(b), nil
}

// Scenarios lists the names that Scenario knows, sorted.
func Scenarios() []string {
	paths, err := fs.Glob(scenarioFiles, "scenarios/*.xml")
	if err != nil {
		return nil
	}
	names := make([]string, len(paths))
	for i, p := range paths {
		names[i] = strings.TrimSuffix(strings.TrimPrefix(p, "scenarios/"), ".xml")
	}
	return names
}
