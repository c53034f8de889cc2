package core

import (
	"strconv"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// uriFunctions edit the Request-URI and the destination URI.
func uriFunctions() []modules.Function {
	return []modules.Function{
		onURI("prefix", "Puts a string before the user of the Request-URI.", modules.StrArg("str", "what to put before the user"),
			func(p *parts, s string) error { return p.setUser(s + p.user) }),
		onURI("strip", "Takes so many characters off the front of the user of the Request-URI; all of it when it is shorter.", count(),
			func(p *parts, n int) error { return p.setUser(p.user[min(n, len(p.user)):]) }),
		onURI("strip_tail", "Takes so many characters off the end of the user of the Request-URI; all of it when it is shorter.", count(),
			func(p *parts, n int) error { return p.setUser(p.user[:len(p.user)-min(n, len(p.user))]) }),
		onURI("setuser", "Replaces the user of the Request-URI; \"\" removes it.", modules.OptStrArg("user", "", "the user; what may not stand plain is escaped"), (*parts).setUser),
		onURI("setuserpass", "Replaces the password of the Request-URI.", modules.StrArg("pass", "the password"), (*parts).setPassword),
		onURI("sethost", "Replaces the host of the Request-URI and nothing else.", modules.StrArg("host", "name, IPv4 or IPv6 address"), (*parts).setHost),
		onURI("sethostport", "Replaces host and port of the Request-URI.", modules.StrArg("hostport", "host or host:port"), (*parts).setHostPort),
		onURI("setport", "Replaces the port of the Request-URI.", modules.StrArg("port", "the port; \"0\" removes it"), func(p *parts, s string) error {
			n, err := portArg(modules.String(s))
			if err != nil {
				return err
			}
			return p.setPort(n)
		}),
		modules.F1(request("seturi", "Replaces the Request-URI."), modules.StrArg("uri", "a URI"), func(_ *config, c *api.Ctx, uri string) modules.Ret {
			return done(setRequestURI(c, uri))
		}),
		modules.F0(request("revert_uri", "Puts the Request-URI back as it was received."), func(_ *config, c *api.Ctx) modules.Ret {
			if !hasRequest(c) {
				return noRequest()
			}
			return done(c.Msg.SetRequestURI(c.Msg.Message().RequestURI()))
		}),
		modules.F1(request("setdsturi", "Sets the destination URI: where the request goes next, whatever its Request-URI says."),
			modules.StrArg("uri", "a sip or sips URI"), func(_ *config, c *api.Ctx, uri string) modules.Ret { return done(setDuri(c, uri)) }),
		modules.F0(request("resetdsturi", "Removes the destination URI."), func(_ *config, c *api.Ctx) modules.Ret { return done(setDuri(c, "")) }),
		modules.F0(request("isdsturiset", "Whether a destination URI is set."), func(_ *config, c *api.Ctx) modules.Ret {
			return modules.YesIf(hasRequest(c) && c.Target.Duri != "", "not_set", "no destination URI is set")
		}),
		constructURIFunction(),
	}
}

func request(name, doc string) modules.Spec {
	return modules.Spec{Name: name, Doc: doc, Routes: requestRoutes}
}

func count() modules.ArgOf[int] {
	return modules.IntArg("n", "how many").With(func(a *modules.Arg) { a.Min, a.Max = 0, 65535 })
}

// onURI declares a function that edits the Request-URI by one argument.
func onURI[A any](name, doc string, arg modules.ArgOf[A], edit func(*parts, A) error) modules.Function {
	return modules.F1(request(name, doc), arg, func(_ *config, c *api.Ctx, v A) modules.Ret {
		return done(editRequestURI(c, func(p *parts) error { return edit(p, v) }))
	})
}

// done is true, or err raised in the script: what was given cannot be written.
func done(err error) modules.Ret {
	if err != nil {
		return modules.Misuse(err)
	}
	return modules.Yes()
}

func constructURIFunction() modules.Function {
	args := []modules.Arg{
		modules.StrArg("proto", "scheme: sip, sips or tel").Arg,
		modules.OptStrArg("user", "", "user, or the number of a tel URI").Arg,
		modules.OptStrArg("domain", "", "host; none for a tel URI").Arg,
		modules.OptStrArg("port", "", "port").Arg,
		modules.OptStrArg("extra", "", "parameters and headers, written as they follow the host").Arg,
	}
	spec := modules.Spec{Name: "construct_uri", Doc: "A URI made of its parts.", TopLevel: true,
		Outputs: []modules.OutputDoc{{Name: "result", Kind: modules.KindString, Doc: "the URI"}}}
	return modules.FN(spec, args, func(_ *config, _ *api.Ctx, a *modules.Args) modules.Ret {
		uri, err := constructURI(a.V[0].Text(), a.V[1].Text(), a.V[2].Text(), a.V[3].Text(), a.V[4].Text())
		if err != nil {
			return modules.NoOutput(-1, "bad_part", err.Error())
		}
		return modules.Output(modules.String(uri))
	})
}

// constructURI is construct_uri.
func constructURI(scheme, user, host, port, extra string) (string, error) {
	p := parts{scheme: scheme, tel: scheme == "tel"}
	if err := p.setUser(user); err != nil {
		return "", err
	}
	if !p.tel || host != "" {
		if err := p.setHost(host); err != nil {
			return "", err
		}
	}
	if port != "" {
		n, err := strconv.Atoi(port)
		if err != nil {
			return "", err
		}
		if err := p.setPort(n); err != nil {
			return "", err
		}
	}
	if p.tail = extra; extra != "" && extra[0] != ';' && extra[0] != '?' {
		p.tail = ";" + extra
	}
	uri := p.String()
	return uri, checkURI(uri)
}
