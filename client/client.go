package client

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
)

const (
	apiPath          = "/rest/api/v2"
	defaultAgent     = "callvault"
	defaultIdle      = time.Minute
	maxHeaderBytes   = 256 << 10
	idleConnsPerHost = 64
)

// Client speaks with one source: a base address and the authentication key of a
// service user there. It is safe for concurrent use.
type Client struct {
	base  *url.URL
	key   string
	agent string
	idle  time.Duration
	// transport is used without an http.Client, whose redirects are not ours.
	transport http.RoundTripper

	// plain tells whether the last answer came over HTTP/1; before the first, a
	// guess by the scheme.
	plain atomic.Bool
}

// Option changes a Client while it is made.
type Option func(*Client)

// WithTransport sends the requests through t in place of a transport of the
// client's own. t must heed the request's context, as [http.RoundTripper] says.
func WithTransport(t http.RoundTripper) Option {
	return func(c *Client) { c.transport = t }
}

// WithUserAgent names the program in the User-Agent header; "callvault" if unset.
func WithUserAgent(agent string) Option {
	return func(c *Client) { c.agent = agent }
}

// WithIdleTimeout gives up when no byte came for d: neither the answer's header
// after the request nor more of its body. 60 seconds if unset; 0 waits for ever.
// Total time is limited by the ctx alone.
func WithIdleTimeout(d time.Duration) Option {
	return func(c *Client) { c.idle = d }
}

// New makes a client of the API at baseURL (http or https; a path in it is put
// before the API's own) that shows key as "Authorization: Bearer" (seed,
// "Requesting Recording Data"). It connects to nothing yet. The error, which
// never holds the key, says what is wrong with which of the two.
func New(baseURL, key string, options ...Option) (*Client, error) {
	c := &Client{key: key, agent: defaultAgent, idle: defaultIdle}
	for _, option := range options {
		option(c)
	}
	if err := checkHeader("authentication key", key); err != nil {
		return nil, err
	}
	if err := checkHeader("user agent", c.agent); err != nil {
		return nil, err
	}
	base, err := parseBase(strings.TrimSpace(baseURL))
	if err != nil {
		return nil, errors.New(c.scrub(err.Error()))
	}
	c.base = base
	c.plain.Store(base.Scheme == "http")
	if c.transport == nil {
		c.transport = newTransport()
	}
	return c, nil
}

// CloseIdleConnections closes the connections that no request uses. A client
// that is let go needs it only to free them at once.
func (c *Client) CloseIdleConnections() {
	if t, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    15 * time.Second,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConnsPerHost:    idleConnsPerHost,
		MaxResponseHeaderBytes: maxHeaderBytes,
		ReadBufferSize:         32 << 10,
	}
}

func parseBase(text string) (*url.URL, error) {
	base, err := url.Parse(text)
	if err != nil {
		// The parser's own message would repeat a password in the address.
		var wrong *url.Error
		if errors.As(err, &wrong) {
			err = wrong.Err
		}
		return nil, fmt.Errorf("the base address cannot be read: %w; write it like https://acmecorporate.xima.cloud", err)
	}
	switch {
	case base.User != nil:
		return nil, errors.New("the base address holds a user name or password; leave them out, the key is given apart")
	case base.Scheme != "http" && base.Scheme != "https" || base.Hostname() == "":
		return nil, fmt.Errorf("the base address %q is not http:// or https:// and a host; write it like https://acmecorporate.xima.cloud", text)
	case base.RawQuery != "" || base.ForceQuery || base.Fragment != "":
		return nil, fmt.Errorf("the base address %q holds a query or fragment; leave out what follows the path", base.Redacted())
	}
	rawPath := strings.TrimRight(base.EscapedPath(), "/")
	path, err := url.PathUnescape(rawPath)
	if err != nil {
		return nil, fmt.Errorf("the path of the base address cannot be read: %w", err)
	}
	return &url.URL{Scheme: base.Scheme, Host: base.Host, Path: path, RawPath: rawPath}, nil
}

// checkHeader refuses what cannot stand in a header, without repeating it.
func checkHeader(what, value string) error {
	switch {
	case strings.TrimSpace(value) == "":
		return fmt.Errorf("the %s is empty", what)
	case strings.TrimSpace(value) != value:
		return fmt.Errorf("the %s begins or ends with white space; take it off", what)
	case strings.ContainsFunc(value, unicode.IsControl):
		return fmt.Errorf("the %s holds a control character such as a line break; give it on one line", what)
	}
	return nil
}

// place is the source in words for errors.
func (c *Client) place() string { return c.base.Host + c.base.EscapedPath() }

// address is the URL of an API path that is escaped already. The escaped form
// is kept as it is, so that a key ".." arrives as a key.
func (c *Client) address(escapedPath, query string) *url.URL {
	u := *c.base
	u.RawPath = c.base.EscapedPath() + apiPath + escapedPath
	u.Path = c.base.Path + apiPath + unescaped(escapedPath)
	u.RawQuery = query
	return &u
}

func unescaped(path string) string {
	plain, err := url.PathUnescape(path)
	if err != nil {
		panic(err) // segment made it
	}
	return plain
}

// segment escapes a name so that it is one opaque segment of a path. Dots are
// escaped where the whole name is dots: RFC 3986 5.2.4 would remove them.
func segment(name string) string {
	if name == "." || name == ".." {
		return strings.ReplaceAll(name, ".", "%2E")
	}
	return url.PathEscape(name)
}
