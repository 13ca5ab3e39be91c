package pages_test

import (
	"testing"

	"callvault/database/databasetest"
)

func TestOverPostgreSQL(t *testing.T) { databasetest.Again(t) }
