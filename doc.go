// Package callvault is the domain of call recordings: what a tenant, a call, a
// recording and a service user are, their published JSON forms, the rules they
// obey, and the API's status numbers as errors.
//
// It does nothing: it opens no file, no database and no connection, and it
// imports the standard library only. Every other package speaks in its types.
//
// It promises that a value that passed Validate can be kept, listed and served
// by every other package as it is.
package callvault
