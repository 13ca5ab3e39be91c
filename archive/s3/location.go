package s3

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7/pkg/encrypt"
)

// Location says where and how blobs are stored.
type Location struct {
	Bucket string
	// Prefix is put before the keys; it is empty or ends with a slash.
	Prefix   string
	Endpoint string // host or host:port
	Secure   bool   // uses TLS
	Region   string
	// StorageClass is the store's name of a storage class, such as STANDARD_IA; "" means
	// the store's default.
	StorageClass string
	// Encryption is how the store encrypts; nil means as the bucket is configured.
	Encryption encrypt.ServerSide
}

// ParseLocation parses s3://BUCKET/PREFIX?endpoint=…&region=…. The endpoint is a URL, or a
// host that is reached with TLS; the default is Amazon's endpoint of the region. Further
// parameters are storage-class=CLASS, sse=AES256, and sse=aws:kms with sse-key=ID. Access
// keys are not part of it: they come from the usual environment variables.
func ParseLocation(text string) (Location, error) {
	l, err := parseLocation(text)
	if err != nil {
		return Location{}, fmt.Errorf("the audio store's address must look like s3://bucket/prefix?endpoint=https://s3.example.com&region=us-east-1: %w", err)
	}
	return l, nil
}

func parseLocation(text string) (l Location, err error) {
	u, err := url.Parse(text)
	if err != nil {
		return l, errors.New("it is not a URL") // not quoted: the text may contain a secret
	}
	switch {
	case u.Scheme != "s3":
		return l, errors.New("it does not begin with s3://")
	case u.User != nil:
		return l, errors.New("it must not contain keys; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead")
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
			return l, fmt.Errorf("the parameter %q is not known", name)
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

// setEndpoint sets Endpoint and Secure.
func (l *Location) setEndpoint(text string) error {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.User != nil {
		return errors.New("its endpoint must be the address of a server, such as https://s3.example.com")
	}
	l.Endpoint, l.Secure = u.Host, u.Scheme == "https"
	return nil
}

// encryption returns how the store is asked to encrypt.
func encryption(kind, key string) (encrypt.ServerSide, error) {
	switch {
	case kind == "" && key == "":
		return nil, nil
	case kind == "AES256" && key == "":
		return encrypt.NewSSE(), nil
	case kind == "aws:kms":
		return encrypt.NewSSEKMS(key, nil)
	}
	return nil, errors.New("sse must be AES256, or aws:kms with sse-key")
}

// String returns the location without its parameters.
func (l Location) String() string { return "s3://" + l.Bucket + "/" + l.Prefix }
