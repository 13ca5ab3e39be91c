// Package move copies a whole archive from one form to another: from a folder with SQLite
// and files to PostgreSQL and an S3 store, or back, or between any two forms.
//
// It copies tables as they are, and knows only one of them in detail: that of the
// recordings, whose rows have files. It copies the files first, and writes a row only when
// the row's files have been read back from the target with the SHA-256 that they had
// before. Therefore a run that is killed at any instant leaves an archive that merely lacks
// the rest, and the next run continues there: files whose row is there already are not
// copied again. At the end it reads all tables on both sides and compares them.
//
// It promises that both sides are the same when it ends without an error, and that nothing
// takes the new archive for a whole one before (Unfinished). It never deletes a file, and
// changes nothing at the source.
package move
