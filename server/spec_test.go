package server_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	"github.com/pb33f/libopenapi-validator/content"
	specerrors "github.com/pb33f/libopenapi-validator/errors"
	"github.com/pb33f/libopenapi-validator/paths"
	"github.com/pb33f/libopenapi-validator/responses"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
)

// specification is the published description of the API, and the parts of it that were
// seen in responses.
type specification struct {
	model     *v3.Document
	validator validator.Validator
	options   []config.Option
	seen      map[string]bool
}

// specExchange is a request and what the service answered.
type specExchange struct {
	request  *http.Request
	sent     []byte // the request's body
	response *http.Response
	received []byte // the answer's body, as it came
}

// openSpecification reads a description, which must be valid. Headers of HTTP itself need
// no description, all others do. Whether a body may have other fields is up to its
// schema.
func openSpecification(t *testing.T, published []byte) *specification {
	t.Helper()
	document, err := libopenapi.NewDocument(published)
	if err != nil {
		t.Fatal(err)
	}
	options := []config.Option{
		config.WithStrictMode(),
		config.WithStrictIgnoredHeaders("Date", "Connection", "Content-Type", "Content-Length", "User-Agent", "Authorization", "Accept"),
		config.WithStrictIgnorePaths("$.body.**"),
		config.WithBodyDecoder("multipart/form-data", content.DecoderFunc(specParts)),
		config.WithBodyDecoder("application/x-ndjson", content.JSONDecoder()),
	}
	checker, errs := validator.NewValidator(document, options...)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if ok, faults := checker.ValidateDocument(); !ok {
		t.Fatal(specFaults(faults))
	}
	model, err := document.BuildV3Model()
	if err != nil {
		t.Fatal(err)
	}
	return &specification{model: &model.Model, validator: checker, options: options, seen: map[string]bool{}}
}

// checkRequest returns how the request differs from the description.
func (s *specification) checkRequest(x *specExchange) []string {
	request := x.request.Clone(x.request.Context())
	request.Body = io.NopCloser(bytes.NewReader(x.sent))
	_, faults := s.validator.ValidateHttpRequest(request)
	return specFaults(faults)
}

// checkResponse returns how the response differs from the description, and records what
// it has seen. The response to a request that is not described must be the 404 or 405 of
// the description.
func (s *specification) checkResponse(x *specExchange) []string {
	described, operation := s.find(x)
	known := operation != ""
	if described == nil {
		return []string{fmt.Sprintf("%s: status %d is not described", operation, x.response.StatusCode)}
	}
	answer := fmt.Sprintf("%s %d", operation, x.response.StatusCode)
	s.seen[answer] = true
	for name := range x.response.Header {
		s.seen["header "+name] = true
	}
	faults := s.checkType(x, described, answer)
	bodies, err := specBodies(x)
	if err != nil {
		return append(faults, err.Error())
	}
	if !known || len(bodies) == 0 {
		faults = append(faults, s.checkHeaders(x, described)...)
	}
	for _, body := range bodies {
		response := *x.response
		response.Body = http.NoBody
		if len(body) > 0 {
			response.Body = io.NopCloser(bytes.NewReader(body))
		}
		var more []*specerrors.ValidationError
		if known {
			_, more = s.validator.ValidateHttpResponse(x.request, &response)
		} else {
			_, more = responses.ValidateResponseSchema(&responses.ValidateResponseSchemaInput{
				Request: x.request, Response: &response, Version: 3.1, Options: s.options,
				Schema: described.Content.GetOrZero("application/json").Schema.Schema(),
			})
		}
		faults = append(faults, specFaults(more)...)
	}
	return faults
}

// find returns the description of a response, or nil if there is none, and the name of
// its operation, "" if that is not described.
func (s *specification) find(x *specExchange) (described *v3.Response, operation string) {
	item, _, path := paths.FindPath(x.request, s.model, config.NewValidationOptions())
	if item != nil {
		if o, ok := item.GetOperations().Get(strings.ToLower(x.request.Method)); ok {
			return o.Responses.Codes.GetOrZero(fmt.Sprint(x.response.StatusCode)), x.request.Method + " " + path
		}
	}
	undescribed := map[int]string{http.StatusNotFound: "NotFound", http.StatusMethodNotAllowed: "MethodNotAllowed"}
	return s.model.Components.Responses.GetOrZero(undescribed[x.response.StatusCode]), ""
}

// checkType checks that the response's media type is described, with or without its
// parameters.
func (s *specification) checkType(x *specExchange, described *v3.Response, answer string) []string {
	given := x.response.Header.Get("Content-Type")
	if described.Content == nil || described.Content.Len() == 0 {
		if given != "" || len(x.received) > 0 {
			return []string{fmt.Sprintf("%s: there is a body of type %q and %d bytes, none is described", answer, given, len(x.received))}
		}
		return nil
	}
	base, _, err := mime.ParseMediaType(given)
	if err != nil {
		return []string{fmt.Sprintf("%s: media type %q: %v", answer, given, err)}
	}
	for _, name := range []string{given, base} {
		if _, ok := described.Content.Get(name); ok {
			s.seen[answer+" "+name] = true
			return nil
		}
	}
	return []string{fmt.Sprintf("%s: media type %q is not described", answer, given)}
}

// checkHeaders returns how headers differ from the description.
func (s *specification) checkHeaders(x *specExchange, described *v3.Response) []string {
	status := fmt.Sprint(x.response.StatusCode)
	_, faults := responses.ValidateResponseHeaders(x.request, x.response, described.Headers, x.request.URL.Path, status, s.options...)
	return specFaults(faults)
}

// specBodies returns the bodies to check against the response's schema, uncompressed: the
// one body, or each line of JSON lines, of which there may be none.
func specBodies(x *specExchange) ([][]byte, error) {
	body, err := specDecompress(x.response.Header.Get("Content-Encoding"), x.received)
	if err != nil || x.response.Header.Get("Content-Type") != "application/x-ndjson" {
		return [][]byte{body}, err
	}
	if len(body) == 0 {
		return nil, nil
	}
	if !bytes.HasSuffix(body, []byte("\n")) {
		return nil, fmt.Errorf("the last line is not ended")
	}
	return bytes.Split(bytes.TrimSuffix(body, []byte("\n")), []byte("\n")), nil
}

// specParts reads a multipart body: JSON parts as values, others as text.
func specParts(input *content.DecodeInput) (any, error) {
	reader, parts := multipart.NewReader(input.Body, input.Parameters["boundary"]), map[string]any{}
	for {
		part, err := reader.NextPart()
		if errors.Is(err, io.EOF) {
			return parts, nil
		}
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(part)
		if err != nil {
			return nil, err
		}
		var value any = string(text)
		if part.Header.Get("Content-Type") == "application/json" {
			if err := json.Unmarshal(text, &value); err != nil {
				return nil, err
			}
		}
		parts[part.FormName()] = value
	}
}

func specDecompress(coding string, body []byte) ([]byte, error) {
	if coding == "" || len(body) == 0 {
		return body, nil
	}
	if coding == "zstd" {
		decoder, err := zstd.NewReader(nil)
		if err != nil {
			return nil, err
		}
		defer decoder.Close()
		return decoder.DecodeAll(body, nil)
	}
	reader, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(reader)
}

// described returns what is described and must therefore have been seen: each status of
// each operation, each media type of a success except for HEAD, and each header.
func (s *specification) described() []string {
	want := map[string]bool{}
	for path, item := range s.model.Paths.PathItems.FromOldest() {
		for method, operation := range item.GetOperations().FromOldest() {
			for status, response := range operation.Responses.Codes.FromOldest() {
				answer := strings.ToUpper(method) + " " + path + " " + status
				want[answer] = true
				for name := range response.Headers.FromOldest() {
					want["header "+http.CanonicalHeaderKey(name)] = true
				}
				if method == "head" || response.Content == nil {
					continue
				}
				for name := range response.Content.FromOldest() {
					want[answer+" "+name] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(want))
}

// checkSeen fails for everything that is described but was never seen and is not exempt,
// and for each exemption that is not needed.
func (s *specification) checkSeen(t *testing.T, exempt map[string]string) {
	t.Helper()
	described := s.described()
	for _, what := range described {
		switch _, excused := exempt[what]; {
		case !s.seen[what] && !excused:
			t.Errorf("described, but never seen: %s", what)
		case s.seen[what] && excused:
			t.Errorf("exempt, but seen: %s", what)
		}
	}
	for what := range exempt {
		if !slices.Contains(described, what) {
			t.Errorf("exempt, but not described: %s", what)
		}
	}
}

func specFaults(faults []*specerrors.ValidationError) []string {
	var out []string
	for _, fault := range faults {
		text := fault.Message + ": " + fault.Reason
		for _, schema := range fault.SchemaValidationErrors {
			text += fmt.Sprintf(" [%s %s: %s]", schema.FieldPath, schema.KeywordLocation, schema.Reason)
		}
		out = append(out, text)
	}
	return out
}
