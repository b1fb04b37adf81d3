package quote

// passage is a run of lines that stay or go together.
type passage struct {
	from, to   int  // lines
	quote      bool // quoted, otherwise the writer's
	introduced bool // beyond doubt a quotation
	open       bool // quoted because of what stands above, not line by line
	n          int  // quoted lines
}

// resolve decides which lines go and marks them. nothing: what is left has
// nothing of the writer in it, because there was nothing but a quotation.
func resolve(lines []line) (nothing bool) {
	ps := passages(lines)
	settle(lines, ps)
	last := lastQuoted(lines, ps)
	kept, sure := false, true
	for i, p := range ps {
		if !p.quote || i <= last {
			kept = kept || hasContent(lines[p.from:p.to])
			continue
		}
		sure = sure && p.introduced && !p.open
		for j := p.from; j < p.to; j++ {
			lines[j].drop = true
		}
	}
	if kept {
		return false
	}
	if !sure || !dropsAny(lines) {
		for i := range lines {
			lines[i].drop = false
		}
		return false
	}
	return true
}

func dropsAny(lines []line) bool {
	for i := range lines {
		if lines[i].drop {
			return true
		}
	}
	return false
}

// passages divides marked lines.
func passages(lines []line) []passage {
	var ps []passage
	for i := 0; i < len(lines); {
		p := passage{from: i}
		switch lines[i].mark {
		case cut:
			p.quote, p.introduced, p.open, i = true, true, true, len(lines)
		case quoted, intro:
			i = p.quotation(lines)
		default:
			for i < len(lines) && lines[i].mark != cut && lines[i].mark != quoted && lines[i].mark != intro {
				i++
			}
		}
		p.to = i
		ps = append(ps, p)
	}
	return ps
}

// quotation finds the end of a quotation that begins at p.from.
func (p *passage) quotation(lines []line) int {
	end, taken := p.from, false // behind the last quoted line; a blockquote belongs to its introduction
	for i := p.from; i < len(lines); i++ {
		l := &lines[i]
		switch {
		case l.mark == intro:
			taken, p.introduced = true, true
		case l.mark == quoted || l.mark == maybe && taken:
			p.introduced = p.introduced || l.sure
			p.n += int(l.n)
		case l.mark == blank && end == i:
		case l.mark == blank || l.mark == rule:
			continue
		default:
			i = len(lines)
			continue
		}
		end = i + 1
	}
	p.quote = p.n > 0
	return max(end, p.from+1)
}

// settle takes for the writer's what only looks quoted: a few lines with '>'
// amid or all over a text that has no other sign of a quotation, or lines the
// text leads up to ("Type this:").
func settle(lines []line, ps []passage) {
	signs, n, quotes := false, 0, 0
	for _, p := range ps {
		signs = signs || p.introduced
		n += p.n
		if p.quote {
			quotes++
		}
	}
	for i := range ps {
		p := &ps[i]
		if !p.quote || p.introduced {
			continue
		}
		amid := i > 0 && hasContent(lines[ps[i-1].from:ps[i-1].to]) && i+1 < len(ps) && hasContent(lines[ps[i+1].from:ps[i+1].to])
		if !signs && n < 3 && (amid || quotes > 1) || p.n <= maxLedUp && leadsUp(lines[:p.from]) {
			p.quote = false
		}
	}
}

// maxLedUp is the number of quoted lines a text may lead up to.
const maxLedUp = 10

// leadsUp reports whether the last of these lines with anything on it is the
// writer's and ends with a colon.
func leadsUp(lines []line) bool {
	i := len(lines) - 1
	if i >= 0 && lines[i].mark == blank {
		i--
	}
	return i >= 0 && lines[i].mark == own && endsWithColon(lines[i].text)
}

// lastQuoted is the last quotation that stays because the writer has answered
// below it and quoted on, or -1.
func lastQuoted(lines []line, ps []passage) int {
	first, answer, last := -1, -1, -1
	for i, p := range ps {
		switch {
		case p.quote && !p.open && answer >= 0:
			first, last, answer = i, answer, -1
		case p.quote && first < 0:
			first = i
		case !p.quote && first >= 0 && isAnswer(lines[p.from:p.to]):
			answer = i
		}
	}
	if last >= 0 && answer >= 0 {
		last = answer
	}
	return last
}

// isAnswer reports whether lines say something, and not only who signs.
func isAnswer(lines []line) bool {
	for i := range lines {
		if isDelimiter(lines[i].text) || lines[i].mark == forwarded {
			return false
		}
		if isContent(&lines[i]) {
			return true
		}
	}
	return false
}

func hasContent(lines []line) bool {
	for i := range lines {
		if isContent(&lines[i]) {
			return true
		}
	}
	return false
}

// isContent reports whether a line that stays is something for people.
func isContent(l *line) bool {
	switch l.mark {
	case blank:
		return l.picture
	case rule, signed:
		return false
	}
	return true
}
