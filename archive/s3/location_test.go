package s3_test

import (
	"strings"
	"testing"

	"callvault/archive/s3"
)

func TestParseLocation(t *testing.T) {
	for text, want := range map[string]s3.Location{
		"s3://b/p/q?endpoint=http://127.0.0.1:9000&region=eu-west-1": {Bucket: "b", Prefix: "p/q/", Endpoint: "127.0.0.1:9000", Region: "eu-west-1"},
		"s3://b?endpoint=store.example":                              {Bucket: "b", Endpoint: "store.example", Region: "us-east-1", Secure: true},
		"s3://b/?region=eu-north-1&storage-class=GLACIER_IR":         {Bucket: "b", Endpoint: "s3.eu-north-1.amazonaws.com", Region: "eu-north-1", Secure: true, StorageClass: "GLACIER_IR"},
	} {
		got, err := s3.ParseLocation(text)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "b/p", "http://b/p", "s3://", "s3://b:9/p", "s3://b?endpoint=ftp://x", "s3://b?endpoint=http://", "s3://b?endpoint=https://x/y",
		"s3://id:secret@b/p", "s3://b?secret=secret", "s3://b?sse=rot13", "s3://b?sse-key=1", "s3://b?endpoint=https://id:secret@x", "s3://b\x00",
	} {
		if got, err := s3.ParseLocation(text); err == nil || strings.Contains(err.Error(), ":secret") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	if l, err := s3.ParseLocation("s3://b?sse=aws:kms&sse-key=k"); err != nil || l.Encryption == nil || l.String() != "s3://b/" {
		t.Errorf("%+v, %v", l, err)
	}
}

func FuzzParseLocation(f *testing.F) {
	f.Add("s3://b/p?endpoint=http://127.0.0.1:9000&region=eu-west-1&sse=AES256")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := s3.ParseLocation(text)
		if err == nil && (l.Bucket == "" || l.Endpoint == "" || l.Prefix != "" && !strings.HasSuffix(l.Prefix, "/")) {
			t.Errorf("%q: %+v", text, l)
		}
	})
}
