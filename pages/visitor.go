package pages

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"callvault"
)

// Visitor is who is signed in.
type Visitor struct {
	Name string
	Kind string
	callvault.Grant
	Can []callvault.Capability
}

// May tells whether the visitor has the capability.
func (v *Visitor) May(capability callvault.Capability) bool {
	return slices.Contains(v.Can, capability)
}

// sessions are the signed-in keys of this process.
var sessions sync.Map

func (p *Pages) visit(ctx context.Context, token string, now time.Time) (*Visitor, error) {
	key, ok := sessions.Load(token)
	if !ok {
		return nil, fmt.Errorf("the session has ended: %w", callvault.Unauthorized)
	}
	caller, err := p.Accounts.Authenticate(ctx, key.(string), now)
	if err != nil {
		return nil, err
	}
	return &Visitor{Name: caller.Name, Kind: "service user", Grant: caller.Grant, Can: caller.Can}, nil
}

func (p *Pages) signInKey(ctx context.Context, key string, now time.Time) (token string, err error) {
	if _, err := p.Accounts.Authenticate(ctx, key, now); err != nil {
		return "", err
	}
	token = rand.Text()
	sessions.Store(token, key)
	return token, nil
}

func (p *Pages) signInName() (string, error) {
	return "", errors.Join(fmt.Errorf("there is nobody of that name with that password: %w", callvault.Unauthorized))
}
