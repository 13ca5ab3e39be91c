package ingest

// Encode is encode, for the tests.
var Encode = (*Intake).encode

// TakeTurn is takeTurn, for the tests.
var TakeTurn = (*Intake).takeTurn
