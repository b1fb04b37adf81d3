package track

import (
	"context"
	"net/netip"
	"strconv"
	"strings"

	"postroad/internal/base/op"
	"postroad/internal/mail/linktoken"
)

// Ops returns the addresses that stand in mail.
func (s *Service) Ops() []op.Op {
	return []op.Op{
		op.New("GET", "/c/{token}", op.Events, op.Public, "Follow a link of a message", s.click).WithDoc(clickDoc),
		op.New("GET", "/o/{token}", op.Events, op.Public, "Load the pixel of a message", s.open).WithDoc(openDoc),
	}
}

const (
	clickDoc = "Stands in mail with click tracking in place of links. Redirects to the link's destination, which is in the signed token: nobody can make it lead elsewhere. HEAD answers the same and makes no event."
	openDoc  = "Stands in mail with open tracking. Answers with a transparent picture of one pixel, whatever the token; a picture that does not load would help nobody. HEAD answers the same and makes no event."
)

type tokenIn struct {
	Token string `path:"token" doc:"Token of the link, as it stands in the message; a pixel's may end in .png or .gif"`
}

// answer is what a browser or mail client gets.
type answer op.Response

// Respond implements op.Responder.
func (a *answer) Respond() op.Response { return op.Response(*a) }

// noStore keeps answers out of caches: a second look is a second event.
var noStore = [...][2]string{{"Cache-Control", "no-cache, no-store, must-revalidate, max-age=0"}, {"Pragma", "no-cache"}, {"Expires", "0"},
	{"Referrer-Policy", "no-referrer"}, {"X-Robots-Tag", "noindex, nofollow"}}

func (s *Service) click(ctx context.Context, in *tokenIn) (*answer, error) {
	t, ok := s.Key.Open(in.Token)
	to, web := location(t.URL)
	if !ok || t.Kind != linktoken.Click || !web {
		return badLink(), nil
	}
	s.note(ctx, in.Token)
	return &answer{Status: 302, Header: append(noStore[:len(noStore):len(noStore)], [2]string{"Location", to})}, nil
}

const badLinkText = "This link does not work.\n\nIt may have been cut off or changed on its way. Please copy the whole link from the message, or ask its sender.\n"

func badLink() *answer {
	return &answer{Status: 404, ContentType: "text/plain; charset=utf-8", Header: append(noStore[:len(noStore):len(noStore)],
		[2]string{"Content-Length", strconv.Itoa(len(badLinkText))}), Body: strings.NewReader(badLinkText)}
}

// location returns a destination as it may stand in a header field; ok is false
// unless it is one on the web.
func location(url string) (string, bool) {
	const most = len("https://")
	if scheme := strings.ToLower(url[:min(len(url), most)]); !strings.HasPrefix(scheme, "https://") && !strings.HasPrefix(scheme, "http://") {
		return "", false
	}
	if strings.IndexFunc(url, unsafe) < 0 {
		return url, true
	}
	var b strings.Builder
	for _, c := range []byte(url) {
		if unsafe(rune(c)) {
			b.WriteString("%" + strings.ToUpper(strconv.FormatUint(uint64(c)|0x100, 16)[1:]))
		} else {
			b.WriteByte(c)
		}
	}
	return b.String(), true
}

// unsafe reports whether a character must be escaped (RFC 3986 section 2).
func unsafe(c rune) bool { return c <= ' ' || c >= 0x7f }

// pixel is a transparent PNG of one pixel: grey with alpha, both zero.
const pixel = "\x89PNG\x0d\x0a\x1a\x0a\x00\x00\x00\x0dIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x04\x00\x00\x00\xb5\x1c\x0c\x02" +
	"\x00\x00\x00\x0bIDATx\xdac``\x00\x00\x00\x03\x00\x01+\x09M\x84\x00\x00\x00\x00IEND\xaeB`\x82"

func (s *Service) open(ctx context.Context, in *tokenIn) (*answer, error) {
	token := strings.TrimSuffix(strings.TrimSuffix(in.Token, ".png"), ".gif")
	if t, ok := s.Key.Open(token); ok && t.Kind == linktoken.Open {
		s.note(ctx, token)
	}
	return &answer{ContentType: "image/png", Header: append(noStore[:len(noStore):len(noStore)],
		[2]string{"Content-Length", strconv.Itoa(len(pixel))}), Body: strings.NewReader(pixel)}, nil
}

// note keeps what is known of the request of ctx.
func (s *Service) note(ctx context.Context, token string) {
	r := op.RequestFrom(ctx)
	h := hit{at: s.clock.Now(), agent: r.UserAgent, token: token}
	h.ip, _ = netip.ParseAddr(r.RemoteIP)
	if r.Method == "HEAD" {
		h.flags |= flagHead
	}
	if prefetch(r.Header) {
		h.flags |= flagPrefetch
	}
	s.keep(&h)
}

// prefetch reports whether a browser fetches beforehand, or for a preview: the
// fields of Chromium and the standard (Purpose, Sec-Purpose), of Firefox (X-Moz)
// and of Safari (X-Purpose).
func prefetch(header func(string) string) bool {
	for _, name := range [...]string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		v := strings.ToLower(header(name))
		if strings.HasPrefix(v, "prefetch") || strings.HasPrefix(v, "preview") {
			return true
		}
	}
	return false
}
