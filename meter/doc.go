// Package meter enforces the service's two limits: three requests of a tenant or
// service user in any 10 seconds, and the number of audio bytes that a tenant is
// sent in any 5 days.
//
// Window and Ledger are pure arithmetic over their own state and the time that the
// caller passes. Memory holds the windows of all subjects and the ledgers of all
// tenants for one process, and saves them to the database; Shared keeps them in
// PostgreSQL for many processes. The package knows nothing of HTTP, of what is
// requested, or of permissions.
//
// It promises that neither limit is exceeded, however many requests come at once;
// that it says correctly when a refused request will pass; and that what it saves is
// never more than what was really sent. If the clock jumps back, a tenant loses at
// most 10 seconds of requests, and its bytes count for at most 5 days and an hour
// from the jump.
package meter
