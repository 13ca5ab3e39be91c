// Package client is a client of the recordings API: it lists the recordings and
// calls of a stretch of time and fetches audio, from Xima's cloud or from a
// Callvault service. It uses nothing but what Xima's API guide describes.
//
// It is not a collector: it stores nothing, paces nothing, retries nothing and
// never logs. One call is one request, and up to three redirects on the same
// host. A request that a server may have seen is never silently sent again,
// because every request counts against the tenant's three in ten seconds.
//
// It promises that a list which did not come whole ends in an error and never
// looks like a shorter list; that memory use does not grow with the list; that
// the authentication key is sent only to the base address's scheme, host and
// port; and that no error, header or evidence that it returns contains the key,
// if that has at least four characters, as every real one has.
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
// The error of an answer other than 200 wraps [callvault.Code], as a
// [callvault.Wait] if the answer has a valid Retry-After, and [RefusalOf] returns
// the evidence. That of a redirect that was not followed also wraps [Redirected].
// Everything else that goes wrong on the way wraps a [Fault] and the original
// error: errors.Is with [TimedOut], [Cut], [Reset] and so on distinguishes them.
// If the caller's ctx ended, the error wraps its cause. The error of a wrong
// argument wraps [callvault.InvalidParameter], and RefusalOf finds nothing in it.
package client
