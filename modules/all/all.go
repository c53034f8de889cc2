// Package all lists every module that a script can load.
package all

import (
	"github.com/luasips/luasips/modules"
	"github.com/luasips/luasips/modules/cfgutils"
	"github.com/luasips/luasips/modules/core"
	"github.com/luasips/luasips/modules/maxfwd"
	"github.com/luasips/luasips/modules/options"
	"github.com/luasips/luasips/modules/rr"
	"github.com/luasips/luasips/modules/signaling"
	"github.com/luasips/luasips/modules/sipmsgops"
	"github.com/luasips/luasips/modules/sl"
	"github.com/luasips/luasips/modules/textops"
	"github.com/luasips/luasips/modules/tm"
	"github.com/luasips/luasips/modules/tr"
)

// List makes the declarations of all modules, those that others need first.
func List() []*modules.Module {
	return []*modules.Module{
		core.Module(),
		tr.Module(),
		cfgutils.Module(),
		signaling.Module(),
		sl.Module(),
		tm.Module(),
		rr.Module(),
		maxfwd.Module(),
		options.Module(),
		sipmsgops.Module(),
		textops.Module(),
	}
}
