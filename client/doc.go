// Package client is the recordings API seen from outside: it lists recordings
// and calls of a stretch of time and fetches audio, from Xima's cloud or from a
// Callvault service. It asks for nothing but what the seed's API offers.
//
// It is not a collector: it keeps nothing, paces nothing, retries nothing and
// never logs. One call is one request (and up to three redirects on the same
// host); a request that a server may have seen is never silently sent again,
// because every one of them counts against the tenant's three in ten seconds.
//
// It promises that a list which did not come whole ends in an error and never
// looks like a shorter list; that memory stays flat however long the list is;
// that the authentication key goes to the base address's scheme, host and port
// and nowhere else; and that no error, header or evidence it hands out holds it,
// if it has at least four characters, as every real one has.
//
// # Errors
//
// In a list, an error that wraps a [*MalformedItem] concerns one item, and the
// iteration goes on; any other error ends it:
//
//	for item, err := range c.Recordings(ctx, span) {
//		if malformed, ok := client.MalformedOf(err); ok {
//			setAside(malformed)
//			continue
//		}
//		if err != nil {
//			return err // the list is void, whatever came before
//		}
//		take(item)
//	}
//
// An answer other than 200 wraps [callvault.Code], as a [callvault.Wait] when it
// has a valid Retry-After, and [RefusalOf] gives the evidence. A redirect that
// was not followed wraps [Redirected] besides. Everything else
// that goes wrong on the way wraps a [Fault] beside the original error: errors.Is
// with [TimedOut], [Cut], [Reset] and so on tells them apart. When the caller's
// ctx ended, the error wraps its cause. A wrong argument wraps
// [callvault.InvalidParameter], and RefusalOf knows nothing of it.
package client
