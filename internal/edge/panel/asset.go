package panel

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed assets/app.css assets/app.js assets/icon.svg
var assetFiles embed.FS

// assets maps hashed file names to contents. The hash makes the name change
// with the content, so browsers may keep a file for ever.
type assets struct {
	names map[string]string // "app.css" -> "app.1a2b3c4d5e6f.css"
	files map[string][]byte // by hashed name
}

func loadAssets() assets {
	a := assets{names: map[string]string{}, files: map[string][]byte{}}
	for _, name := range []string{"app.css", "app.js", "icon.svg"} {
		b, err := assetFiles.ReadFile("assets/" + name)
		if err != nil { // cannot be: the compiler embedded it
			continue
		}
		sum := sha256.Sum256(b)
		ext := path.Ext(name)
		hashed := strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(sum[:6]) + ext
		a.names[name], a.files[hashed] = hashed, b
	}
	return a
}

func (a assets) url(name string) string { return "/assets/" + a.names[name] }

func (a assets) serve(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	b, ok := a.files[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	if strings.HasSuffix(name, ".js") { // some systems map it to text/plain
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(b))
}
