package mime

import (
	"strings"

	"postroad/internal/mail/mime/encword"
)

const octetStream = "application/octet-stream"

// fileType gives the media type to declare and the encoding to use. Types
// that may not be base64 (RFC 2046 sections 5.1 and 5.2) keep their lines or,
// where these are not mail, become plain octets.
func fileType(f *File) (string, encoding) {
	ctype := cleanType(f.ContentType)
	if ctype == "" {
		ctype = typeByName(f.Name)
	}
	switch main, _, _ := strings.Cut(strings.ToLower(ctype), "/"); main {
	case "multipart":
		return octetStream, encBase64
	case "message":
		s := view(f.Data)
		switch {
		case !linesFit(crlfString(s)) || strings.IndexByte(s, 0) >= 0:
			return octetStream, encBase64
		case isASCII(s):
			return ctype, enc7bit
		case strings.HasPrefix(strings.ToLower(ctype), "message/rfc822"), strings.HasPrefix(strings.ToLower(ctype), "message/global"):
			return ctype, enc8bit // RFC 6532 section 3.7, RFC 6533 sections 4 and 5
		}
		return octetStream, encBase64
	case "text":
		// A returned header is read by people and by programs that do not decode.
		if s := view(f.Data); strings.EqualFold(ctype, "text/rfc822-headers") && isASCII(s) && linesFit(crlfString(s)) && strings.IndexByte(s, 0) < 0 {
			return ctype, enc7bit
		}
	}
	return ctype, encBase64
}

// cleanType checks a media type given from outside and writes it anew, without
// name and charset-less noise; empty if it is none.
func cleanType(s string) string {
	if s == "" || !encword.IsPlain(s) || len(s) > 512 {
		return ""
	}
	head, params := parseParams(s)
	main, sub, ok := strings.Cut(head, "/")
	if !ok || !isToken(main) || !isToken(sub) {
		return ""
	}
	out := []byte(head)
	for _, p := range params {
		if isToken(p.name) && p.name != "name" && !strings.HasPrefix(p.name, "name*") && len(p.value) <= maxPlainParam {
			out = appendParam(out, p.name, p.value)
		}
	}
	return string(out)
}

func (p *part) appendFile(dst []byte) []byte {
	f := p.file
	if f.Name != "" {
		dst = appendName(dst, f.Name)
	}
	if !p.bare {
		dst = p.appendDisposition(dst)
	}
	dst = append(append(dst, "\r\nContent-Transfer-Encoding: "...), p.enc.String()...)
	dst = append(dst, "\r\n"...)
	dst = p.appendContentID(dst)
	dst = append(dst, "\r\n"...)
	if p.enc == encBase64 {
		return appendBase64(dst, f.Data)
	}
	return appendCRLF(dst, view(f.Data))
}

func (p *part) appendDisposition(dst []byte) []byte {
	disposition := "attachment"
	if p.inline {
		disposition = "inline"
	}
	dst = append(append(dst, "\r\nContent-Disposition: "...), disposition...)
	if p.file.Name != "" {
		dst = appendFilename(dst, p.file.Name)
	}
	return dst
}

func (p *part) appendContentID(dst []byte) []byte {
	id := p.file.ContentID
	if id == "" && p.inline {
		id = p.file.Name
	}
	if id == "" {
		return dst
	}
	return append(append(append(dst, "Content-ID: <"...), contentID(id)...), ">\r\n"...)
}

// contentID makes a file name fit between the brackets of a Content-ID. What
// a header can not hold is percent-encoded, as it is in a cid: URL (RFC 2392).
func contentID(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '<' || c == '>' {
			b.Write([]byte{'%', upperhex[c>>4], upperhex[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// typeByName derives a media type from the extension. The table is short and
// fixed: what a message says must not depend on the machine it was built on.
func typeByName(name string) string {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return octetStream
	}
	switch strings.ToLower(name[i+1:]) {
	case "txt", "log", "text":
		return "text/plain"
	case "htm", "html":
		return "text/html"
	case "csv":
		return "text/csv"
	case "ics":
		return "text/calendar"
	case "vcf":
		return "text/vcard"
	case "css":
		return "text/css"
	case "md":
		return "text/markdown"
	case "eml":
		return "message/rfc822"
	}
	return binaryType(strings.ToLower(name[i+1:]))
}

func binaryType(ext string) string {
	switch ext {
	case "png", "gif", "webp", "bmp", "avif":
		return "image/" + ext
	case "jpg", "jpeg":
		return "image/jpeg"
	case "svg":
		return "image/svg+xml"
	case "tif", "tiff":
		return "image/tiff"
	case "ico":
		return "image/x-icon"
	case "pdf", "zip", "json", "xml", "rtf":
		return "application/" + ext
	case "gz":
		return "application/gzip"
	case "doc":
		return "application/msword"
	case "xls":
		return "application/vnd.ms-excel"
	case "ppt":
		return "application/vnd.ms-powerpoint"
	case "docx":
		return "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	case "xlsx":
		return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	case "pptx":
		return "application/vnd.openxmlformats-officedocument.presentationml.presentation"
	case "mp3":
		return "audio/mpeg"
	case "wav", "ogg":
		return "audio/" + ext
	case "mp4", "webm":
		return "video/" + ext
	}
	return octetStream
}
