package database

// Clock returns the SQL expression for the current time in Unix milliseconds, by the one
// clock that all processes working on the database share.
func (db *DB) Clock() string {
	if db.Shared() {
		return `CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS BIGINT)`
	}
	return `CAST(unixepoch('subsec') * 1000 AS BIGINT)`
}
