package sip

// draftViews caches views of headers that have been edited, for one version
// of the draft.
type draftViews struct {
	version uint32
	views
}

// cached returns the cache for the draft's version.
func (d *Draft) cached() *views {
	if d.views == nil {
		d.views = new(draftViews)
	}
	if d.views.version != d.version {
		d.views.version, d.views.done = d.version, 0
	}
	return &d.views.views
}

// Via returns the top-most Via value as edited. It is valid until the next edit.
func (d *Draft) Via() (*Via, error) {
	if !d.isTouched(HdrVia) {
		return d.msg.Via()
	}
	c := d.cached()
	if c.ask(viewVia) {
		c.viaErr = parseTopVia(d.First(HdrVia), &c.via)
	}
	return &c.via, c.viaErr
}

// From returns the From header field as edited.
func (d *Draft) From() (*NameAddr, error) {
	if !d.isTouched(HdrFrom) {
		return d.msg.From()
	}
	c := d.cached()
	if c.ask(viewFrom) {
		c.fromErr = parseOne(d.First(HdrFrom), &c.from)
	}
	return &c.from, c.fromErr
}

// To returns the To header field as edited.
func (d *Draft) To() (*NameAddr, error) {
	if !d.isTouched(HdrTo) {
		return d.msg.To()
	}
	c := d.cached()
	if c.ask(viewTo) {
		c.toErr = parseOne(d.First(HdrTo), &c.to)
	}
	return &c.to, c.toErr
}

// CSeq returns the CSeq header field as edited.
func (d *Draft) CSeq() (CSeq, error) {
	if !d.isTouched(HdrCSeq) {
		return d.msg.CSeq()
	}
	v := d.First(HdrCSeq)
	if v == nil {
		return CSeq{}, ErrMissing
	}
	return ParseCSeq(v)
}

// RURI returns the Request-URI as edited, read; a response gives ErrNotRequest.
func (d *Draft) RURI() (*URI, error) {
	if !d.hasRURI {
		return d.msg.RURI()
	}
	c := d.cached()
	if c.ask(viewRURI) {
		c.ruriErr = ParseURI(d.RequestURI(), &c.ruri)
	}
	return &c.ruri, c.ruriErr
}

// MaxForwards returns the hops left as edited, 0 to 255.
func (d *Draft) MaxForwards() (n int, present bool, err error) {
	return parseHops(d.First(HdrMaxForwards))
}

// Expires returns the Expires header as edited, in seconds.
func (d *Draft) Expires() (n uint32, present bool, err error) {
	v := d.First(HdrExpires)
	if v == nil {
		return 0, false, nil
	}
	n, err = parseDelta(v)
	return n, true, err
}

// HasToTag tells whether To carries a tag.
func (d *Draft) HasToTag() bool {
	to, err := d.To()
	return err == nil && to.Tag != nil
}
