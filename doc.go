// Package callvault is the domain of call recordings: what a tenant, a call, a
// recording and a service user are, their published JSON forms, the rules they
// obey, and the API's status numbers as errors.
//
// It performs no I/O: it opens no file, database or connection, and imports only
// the standard library. All other packages share its types.
//
// It promises that every other package can store, list and serve a value that
// passed Validate as it is.
//
// The recordings API is Xima's. Comments cite its published description,
// "Collecting Recordings via API", as the API guide, and by its headings.
package callvault
