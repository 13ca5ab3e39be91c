package ingest

// Encode is encode, for the tests, and Known known.
var (
	Encode = (*Intake).encode
	Known  = (*Intake).known
)

// TakeTurn is takeTurn, for the tests.
var TakeTurn = (*Intake).takeTurn
