package ingest

// Encode is encode, for the tests.
var Encode = (*Intake).encode
