// Package meter keeps the service's two limits: three requests of a tenant or
// service user in any 10 seconds, and the audio bytes that a tenant is sent in
// any 5 days.
//
// Window and Ledger are pure arithmetic over their own state and the time that
// the caller names. Memory keeps one of each for every tenant and user of one
// process and saves them to the database. The package knows nothing of HTTP, of
// what is asked for, or of who may ask.
//
// It promises that neither limit is passed, however many requests come at once;
// that it says truly when a refused request will pass; and that what is saved
// never says more than what was really sent. A clock that jumps back costs a
// tenant at most 10 seconds of requests and never counts its bytes longer than
// 5 days and an hour from the jump.
package meter
