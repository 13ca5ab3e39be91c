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

// Client talks to one source, at a base address, with the authentication key of a
// service user there. It is safe for concurrent use.
type Client struct {
	base  *url.URL
	key   string
	agent string
	idle  time.Duration
	// transport is used without an http.Client, which would follow redirects itself.
	transport http.RoundTripper

	// http1 says whether the last answer came over HTTP/1; before the first, it is a
	// guess by the scheme.
	http1 atomic.Bool
}

// Option configures a Client that New makes.
type Option func(*Client)

// WithTransport sends the requests through t instead of the client's own
// transport. t must obey the request's context, as [http.RoundTripper] says.
func WithTransport(t http.RoundTripper) Option {
	return func(c *Client) { c.transport = t }
}

// WithUserAgent names the program in the User-Agent header; "callvault" if unset.
func WithUserAgent(agent string) Option {
	return func(c *Client) { c.agent = agent }
}

// WithIdleTimeout makes requests fail when no byte came for d, be it of the
// answer's header or of its body. It is 60 seconds if unset; 0 waits forever.
// Only the ctx limits the total time.
func WithIdleTimeout(d time.Duration) Option {
	return func(c *Client) { c.idle = d }
}

// New returns a client of the API at baseURL (http or https; a path in it is put
// before the API's own) that sends key as "Authorization: Bearer" (API guide,
// "Requesting Recording Data"). It does not connect yet. The error, which never
// contains the key, says what is wrong with which argument.
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
	c.http1.Store(base.Scheme == "http")
	if c.transport == nil {
		c.transport = newTransport()
	}
	return c, nil
}

// CloseIdleConnections closes the connections that no request uses. Call it to
// free them at once when the client is no longer needed.
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
		return nil, errors.New("the base address holds a user name or password; leave them out, since the key is given separately")
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

// checkHeader refuses a value that cannot stand in a header. Its error does not
// repeat the value.
func checkHeader(what, value string) error {
	switch {
	case strings.TrimSpace(value) == "":
		return fmt.Errorf("the %s is empty", what)
	case strings.TrimSpace(value) != value:
		return fmt.Errorf("the %s begins or ends with white space; remove it", what)
	case strings.ContainsFunc(value, unicode.IsControl):
		return fmt.Errorf("the %s holds a control character such as a line break; give it on one line", what)
	}
	return nil
}

// place names the source in errors.
func (c *Client) place() string { return c.base.Host + c.base.EscapedPath() }

// address returns the URL of an API path that is already escaped. It keeps the
// escaped form, so that a key ".." arrives as a key.
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

// segment escapes a name as one opaque segment of a path. It escapes the dots of
// "." and "..", which RFC 3986 5.2.4 would remove.
func segment(name string) string {
	if name == "." || name == ".." {
		return strings.ReplaceAll(name, ".", "%2E")
	}
	return url.PathEscape(name)
}
