package httpapi

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// CheckOrigin refuses what is no origin: scheme://host or scheme://host:port, or * for all.
func CheckOrigin(origin string) error {
	u, err := url.Parse(origin)
	if origin == "*" || err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && origin == u.Scheme+"://"+u.Host {
		return nil
	}
	return fmt.Errorf("%.80q: want an origin, such as https://console.example, or * for all", origin)
}

// withBrowserRules refuses what a web page asks of a node that did not serve it: a browser on the machine of a node, or in its network, would
// otherwise do what any page says. Origins that are allowed get what they ask for by CORS. Callers that are no browsers notice nothing.
func (a *api) withBrowserRules(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refusal := a.browserRefusal(r); refusal != nil {
			WriteRefusal(w, refusal)
			return
		}
		origin := r.Header.Get("Origin")
		if origin == "" {
			next.ServeHTTP(w, r)
			return
		}
		h := w.Header()
		h.Add("Vary", "Origin")
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Set("Access-Control-Expose-Headers", "X-Callboard-Index, X-Callboard-Authentication, X-Callboard-Warning, Retry-After")
		method := r.Header.Get("Access-Control-Request-Method")
		if r.Method != http.MethodOptions || method == "" {
			next.ServeHTTP(w, r)
			return
		}
		h.Add("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers")
		h.Set("Access-Control-Allow-Methods", method)
		if headers := r.Header.Values("Access-Control-Request-Headers"); len(headers) > 0 {
			h.Set("Access-Control-Allow-Headers", strings.Join(headers, ", "))
		}
		h.Set("Access-Control-Max-Age", "600")
		w.WriteHeader(http.StatusNoContent)
	})
}

// browserRefusal is why a request is refused; nil: it is not.
func (a *api) browserRefusal(r *http.Request) *callboardv1.Error {
	// A page of a foreign name that was made to point at this machine is of one origin with the node: only the name tells.
	if a.Loopback && !a.mayName(r.Host) {
		return callboardv1.Refuse("api", "origin_not_allowed",
			"this node listens on loopback and does not answer for %.80q: call it by its address or localhost, or start it with --http-allow-origin http://%.80s", r.Host, r.Host)
	}
	origin, site := r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site")
	switch {
	case origin != "":
		if u, err := url.Parse(origin); err == nil && u.Host != "" && u.Host == r.Host || a.allows(origin) {
			return nil
		}
		return callboardv1.Refuse("api", "origin_not_allowed",
			"a page of %.80q may not call this node: start it with --http-allow-origin %.80s if it should", origin, origin)
	case site == "" || site == "same-origin" || site == "none":
		return nil
	case (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.Header.Get("Sec-Fetch-Mode") == "navigate":
		return nil // somebody followed a link: the page that had it sees nothing of the answer
	case slices.Contains(a.AllowOrigins, "*"):
		return nil
	}
	return callboardv1.Refuse("api", "origin_not_allowed", "a page of another site may not call this node: start it with --http-allow-origin if it should")
}

func (a *api) allows(origin string) bool {
	return slices.Contains(a.AllowOrigins, "*") || slices.Contains(a.AllowOrigins, origin)
}

// mayName reports whether a Host is an address, this machine, or one that the operator has named.
func (a *api) mayName(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.Trim(name, "[]"), ".")
	if _, err := netip.ParseAddr(name); err == nil || name == "" || name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	return slices.ContainsFunc(a.AllowOrigins, func(origin string) bool {
		_, of, _ := strings.Cut(origin, "://")
		return origin == "*" || of == host
	})
}
