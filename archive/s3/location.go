package s3

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7/pkg/encrypt"
)

// Location says where blobs are kept, and how.
type Location struct {
	Bucket string
	// Prefix is put before the keys; it is empty or ends with a slash.
	Prefix   string
	Endpoint string // host or host:port
	Secure   bool   // by TLS
	Region   string
	// StorageClass is the store's name of a class, such as STANDARD_IA; "" is the
	// store's usual one.
	StorageClass string
	// Encryption is what the store encrypts with; nil is what the bucket says.
	Encryption encrypt.ServerSide
}

// ParseLocation reads s3://BUCKET/PREFIX?endpoint=…&region=…. The endpoint is a
// URL, or a host that speaks TLS; without one it is Amazon's of the region.
// storage-class=CLASS, sse=AES256 and sse=aws:kms with sse-key=ID are further
// settings. Keys have no place in it: they are read from the usual variables.
func ParseLocation(text string) (Location, error) {
	l, err := parseLocation(text)
	if err != nil {
		return Location{}, fmt.Errorf("the audio store's address is none such as s3://bucket/prefix?endpoint=https://s3.example.com&region=us-east-1: %w", err)
	}
	return l, nil
}

func parseLocation(text string) (l Location, err error) {
	u, err := url.Parse(text)
	if err != nil {
		return l, errors.New("it is no URL") // the text may hold a secret
	}
	switch {
	case u.Scheme != "s3":
		return l, errors.New("it does not begin with s3://")
	case u.User != nil:
		return l, errors.New("keys have no place in it; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	case u.Host == "" || u.Port() != "":
		return l, errors.New("it names no bucket")
	}
	l = Location{Bucket: u.Host, Region: "us-east-1", Secure: true}
	if folder := strings.Trim(u.Path, "/"); folder != "" {
		l.Prefix = folder + "/"
	}
	var key string
	endpoint := ""
	for name, values := range u.Query() {
		value := values[len(values)-1]
		switch name {
		case "endpoint":
			endpoint = value
		case "region":
			l.Region = value
		case "storage-class":
			l.StorageClass = value
		case "sse-key":
			key = value
		case "sse":
		default:
			return l, fmt.Errorf("%q is not known", name)
		}
	}
	if l.Encryption, err = encryption(u.Query().Get("sse"), key); err != nil {
		return l, err
	}
	if endpoint == "" {
		endpoint = "s3." + l.Region + ".amazonaws.com"
	}
	return l, l.setEndpoint(endpoint)
}

// setEndpoint takes the endpoint's host and whether it speaks TLS.
func (l *Location) setEndpoint(text string) error {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.User != nil {
		return errors.New("its endpoint is no address of a server, such as https://s3.example.com")
	}
	l.Endpoint, l.Secure = u.Host, u.Scheme == "https"
	return nil
}

// encryption is what the store is asked to encrypt with.
func encryption(kind, key string) (encrypt.ServerSide, error) {
	switch {
	case kind == "" && key == "":
		return nil, nil
	case kind == "AES256" && key == "":
		return encrypt.NewSSE(), nil
	case kind == "aws:kms":
		return encrypt.NewSSEKMS(key, nil)
	}
	return nil, errors.New("sse is AES256, or aws:kms with sse-key")
}

// String is the place without its settings.
func (l Location) String() string { return "s3://" + l.Bucket + "/" + l.Prefix }
