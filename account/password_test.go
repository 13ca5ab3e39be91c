package account

import (
	"context"
	"errors"
	"strings"
	"testing"

	"callvault"
)

func TestPasswordIsCheckedAgainstItsHash(t *testing.T) {
	h := newHashers()
	kept, err := h.hash(t.Context(), "correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(kept, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("kept as %s", kept)
	}
	// Made by the reference implementation: echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1
	const reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	for _, c := range []struct {
		kept, password string
		want           bool
	}{
		{kept, "correct horse battery", true}, {kept, "correct horse batterx", false}, {kept, "", false},
		{reference, "password", true}, {reference, "Password", false}, {"", "", false}, {"", "anything", false},
	} {
		if got, err := h.check(t.Context(), c.kept, c.password); got != c.want || err != nil {
			t.Errorf("%q against %.30q: %t, %v, want %t", c.password, c.kept, got, err, c.want)
		}
	}
	if other, err := h.hash(t.Context(), "correct horse battery"); err != nil || other == kept {
		t.Errorf("two hashes of one password are the same, or %v", err)
	}
}

func TestHashingWaitsForItsTurn(t *testing.T) {
	h := newHashers()
	h <- struct{}{}
	h <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.hash(ctx, "correct horse battery"); !errors.Is(err, context.Canceled) {
		t.Errorf("a third at once gave %v, want to wait", err)
	}
}

func TestCheckPassword(t *testing.T) {
	for password, good := range map[string]bool{
		"": false, "elevenchars": false, "twelve chars": true, "zwölf Zeichn": true, "ééééééé": false,
		strings.Repeat("x", 1024): true, strings.Repeat("x", 1025): false, "twelve chars\xff": false,
	} {
		if err := CheckPassword(password); (err == nil) != good || err != nil && !errors.Is(err, callvault.InvalidParameter) {
			t.Errorf("%.20q: %v", password, err)
		}
	}
}

func FuzzParseHash(f *testing.F) {
	for _, seed := range []string{
		decoy().String(), "", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=4294967295,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=65536,t=0,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "$argon2id$v=19$m=65536$$",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parseHash(text)
		if err != nil {
			return
		}
		if h.String() != text {
			t.Errorf("%q was read as %q", text, h)
		}
		if h.memory > 256<<10 || h.passes == 0 || h.passes > 16 || h.threads == 0 || len(h.sum) > 64 {
			t.Errorf("%q would take too much", text)
		}
	})
}
