// Package move moves an archive from one form into another: from a folder with
// SQLite and files into PostgreSQL and an S3 store, back, and from any form to
// any.
//
// It moves tables as they are and knows only one by name, that of the
// recordings, whose rows have files. Files are copied first, and a row is
// written when its files were read back from where they came to with the SHA-256
// that they had before. Therefore a run that is killed at any instant leaves an
// archive that lacks some of its end, and the next run goes on there: what has
// its row already is not copied again. Last, all tables of both sides are read
// and held against each other.
//
// It promises that where it ends without an error both sides are the same, and
// that nothing opens the new archive as one that is whole before (Unfinished). It
// never deletes a file, and changes nothing where it moves from.
package move
