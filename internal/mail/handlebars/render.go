package handlebars

// Options say how a template is rendered.
type Options struct {
	Plain     bool // {{x}} is not escaped: the result is no HTML
	MaxOutput int  // bytes; 0 means 1 MB
	MaxSteps  int  // values and blocks; 0 means a million
}

// What Options mean by 0.
const (
	DefaultOutput = 1 << 20
	DefaultSteps  = 1_000_000
)

// frame is what a block adds to the context.
type frame struct {
	this  Value
	moved bool // this is another than that of the frame below: ../ leads there
	loop  bool // of an each: the rest has meaning
	index int
	last  bool
	key   Value
	param [2]Value
}

// renderer is one rendering.
type renderer struct {
	t      *Template
	out    []byte
	start  int
	frames []frame
	steps  int
	max    int // bytes of out
	escape bool
}

// Render appends the template filled with data to dst. The error is an *Error
// that wraps ErrSteps or ErrOutput; dst is returned as it was then.
func (t *Template) Render(dst []byte, data Value, o Options) ([]byte, error) {
	if o.MaxOutput == 0 {
		o.MaxOutput = DefaultOutput
	}
	if o.MaxSteps == 0 {
		o.MaxSteps = DefaultSteps
	}
	r := renderer{t: t, out: dst, start: len(dst), steps: o.MaxSteps, max: o.MaxOutput, escape: !o.Plain}
	if dst == nil {
		r.out = make([]byte, 0, min(len(t.src)+len(t.src)/4+64, o.MaxOutput))
	}
	r.frames = append(make([]frame, 0, 8), frame{this: data, moved: true})
	if err := r.run(t.root); err != nil {
		return dst, err
	}
	return r.out, nil
}

// run renders nodes. It recurses as deep as blocks are nested, which Parse
// bounds.
func (r *renderer) run(nodes []node) *Error {
	for i := range nodes {
		n := &nodes[i]
		if r.steps--; r.steps < 0 {
			return r.fail(n, ErrSteps)
		}
		switch n.op {
		case opText:
			r.out = append(r.out, n.text...)
		case opPrint, opPrintRaw:
			v := r.value(&n.args[0])
			if v.kind == list { // which may print nothing and take long to
				r.steps -= v.size() / 16
			}
			r.out = v.appendTo(r.out, r.escape && n.op == opPrint)
		default:
			if err := r.block(n); err != nil {
				return err
			}
		}
		if len(r.out)-r.start > r.max {
			return r.fail(n, ErrOutput)
		}
	}
	return nil
}

func (r *renderer) fail(n *node, err error) *Error {
	e := errorAt(r.t.src, n.at, "%v", err)
	e.Err = err
	return e
}

// block renders a block and those chained to it, of which there may be many.
func (r *renderer) block(n *node) *Error {
	for {
		done, err := r.first(n)
		if done || err != nil {
			return err
		}
		if len(n.alt) != 1 || !n.alt[0].chained {
			return r.run(n.alt)
		}
		n = &n.alt[0]
		if r.steps--; r.steps < 0 {
			return r.fail(n, ErrSteps)
		}
	}
}

// first renders the first part of a block unless the second is due.
func (r *renderer) first(n *node) (done bool, err *Error) {
	v := r.value(&n.args[0])
	switch n.op {
	case opIf, opUnless:
		yes := v.truthy() || n.zero && v.kind == number
		if yes == (n.op == opIf) {
			return true, r.run(n.body)
		}
	case opEqual:
		w := r.value(&n.args[1])
		same, work := v.equal(&w)
		if r.steps -= work; same {
			return true, r.run(n.body)
		}
	case opWith:
		if v.truthy() || v.kind == number {
			return true, r.within(n, v, true)
		}
	case opEach:
		if v.kind >= list && len(v.sub.items) > 0 {
			return true, r.each(n, &v)
		}
	case opSection:
		switch {
		case v.kind == list && v.truthy():
			return true, r.each(n, &v)
		case v.truthy():
			return true, r.within(n, v, v.kind != boolean)
		}
	}
	return false, nil
}

// within renders the body of a block with v, which is the context if moved.
func (r *renderer) within(n *node, v Value, moved bool) *Error {
	f := frame{this: v, moved: moved, param: [2]Value{v}}
	if !moved {
		f.this = r.frames[len(r.frames)-1].this
	}
	r.frames = append(r.frames, f)
	err := r.run(n.body)
	r.frames = r.frames[:len(r.frames)-1]
	return err
}

// each renders the body of a block for each item.
func (r *renderer) each(n *node, v *Value) *Error {
	at := len(r.frames)
	r.frames = append(r.frames, frame{moved: true, loop: true})
	items, names := v.sub.items, v.sub.names
	for i := range items {
		if r.steps--; r.steps < 0 {
			return r.fail(n, ErrSteps)
		}
		f := &r.frames[at]
		f.this, f.index, f.last = items[i], i, i == len(items)-1
		if names != nil {
			f.key = textValue(names[i])
		}
		if n.params > 0 {
			f.param[0] = items[i]
		}
		if n.params > 1 {
			f.param[1] = f.keyValue()
		}
		if err := r.run(n.body); err != nil {
			return err
		}
	}
	r.frames = r.frames[:at]
	return nil
}

// keyValue is @key. Handlebars: of a list it is the index.
func (f *frame) keyValue() Value {
	if f.key.kind == missing {
		return intValue(f.index)
	}
	return f.key
}

func (r *renderer) value(o *operand) Value {
	switch {
	case o.path != nil:
		return r.find(o.path)
	case o.call != nil:
		a, b := r.value(&o.call.args[0]), r.value(&o.call.args[1])
		if o.call.equal {
			same, work := a.equal(&b)
			r.steps -= work
			return boolValue(same)
		}
		if b.kind != text && b.kind != number {
			return Value{}
		}
		r.steps -= (len(a.text) + len(b.text)) / 64
		return a.get(b.text)
	}
	return o.lit
}

func (r *renderer) find(p *path) Value {
	v := r.begin(p)
	for _, s := range p.segs {
		if v.kind == missing {
			break
		}
		r.steps -= len(v.text) / 64
		v = v.get(s)
	}
	return v
}

// begin is the value a path starts at.
func (r *renderer) begin(p *path) Value {
	top := len(r.frames) - 1
	switch p.base {
	case fromRoot:
		return r.frames[0].this
	case fromParam:
		return r.frames[top-p.up].param[p.slot]
	case fromData:
		return r.data(p)
	}
	for up := p.up; up > 0; up-- {
		for top > 0 && !r.frames[top].moved {
			top--
		}
		if top--; top < 0 {
			return Value{}
		}
	}
	return r.frames[top].this
}

// data is @index and the like of the loop that p means.
func (r *renderer) data(p *path) Value {
	up := p.up
	for i := len(r.frames) - 1; i > 0; i-- {
		f := &r.frames[i]
		if !f.loop {
			continue
		}
		if up > 0 {
			up--
			continue
		}
		switch p.data {
		case "index":
			return intValue(f.index)
		case "key":
			return f.keyValue()
		case "first":
			return boolValue(f.index == 0)
		case "last":
			return boolValue(f.last)
		}
		return Value{}
	}
	return Value{}
}
