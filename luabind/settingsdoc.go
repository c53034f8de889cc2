package luabind

import (
	"fmt"
	"strings"
)

// SettingsDoc is the reference of config{} in Markdown, made of SettingsTable.
func SettingsDoc() string {
	var works, ignored strings.Builder
	for _, s := range SettingsTable() {
		if s.Ignored != "" {
			fmt.Fprintf(&ignored, "| `%s` | %s |\n", s.Name, s.Ignored)
			continue
		}
		fmt.Fprintf(&works, "| `%s` | %s | %s | %s |\n", s.Name, s.takes(), s.standard(), s.Doc)
	}
	return "# config { }\n\n" +
		"The settings of a script as a whole. A name that is not here is refused, with the\n" +
		"one that was probably meant. This page is generated from their declarations.\n\n" +
		"| setting | takes | default | meaning |\n|---|---|---|---|\n" + works.String() +
		"\n## Without effect here\n\n" +
		"OpenSIPS has these too. They are taken, so that a script may keep them, and one\n" +
		"note in the log says so.\n\n" +
		"| setting | why |\n|---|---|\n" + ignored.String()
}

// takes is the type of the values, with unit and bounds.
func (s *Setting) takes() string {
	text := settingWords[s.Kind]
	if s.Unit != "" {
		text += " of " + s.Unit
	}
	if s.Max > s.Min {
		text += fmt.Sprintf(", %s to %s", numberText(s.Min), numberText(s.Max))
	}
	return text
}

// standard is the default as a script would write it.
func (s *Setting) standard() string {
	switch v := s.Default.(type) {
	case nil:
		return ""
	case float64:
		return "`" + numberText(v) + "`"
	case string:
		return fmt.Sprintf("`%q`", v)
	default:
		return fmt.Sprintf("`%v`", v)
	}
}
