// Package archivetest is the test suite that every combination of a database and a store of
// blobs must pass to be used for an archive.
//
// It knows the archive's promises and the names of its files, but not how either store
// works, so that it applies to all of them.
package archivetest

import (
	"testing"

	"callvault"
	"callvault/archive"
)

// Fixture is an empty archive to be tested.
type Fixture struct {
	Archive *archive.Archive
	Blobs   archive.Blobs
	// Open opens the same database once more, as another process would. blobs is Blobs, or
	// wraps it.
	Open func(t *testing.T, blobs archive.Blobs) *archive.Archive
	// Fresh opens Blobs with another database, which is empty.
	Fresh func(t *testing.T) *archive.Archive
}

// Run runs the suite. open returns a new fixture for each test.
func Run(t *testing.T, open func(t *testing.T) Fixture) {
	for _, test := range []struct {
		name string
		run  func(*suite)
	}{
		{"RoundTrip", roundTrip},
		{"Outcomes", outcomes},
		{"CompletedAtAnotherStart", completedAtAnotherStart},
		{"KeptAsNoted", keptAsNoted},
		{"HistoryIsKept", historyIsKept},
		{"OneKeyTwiceAtOnce", oneKeyTwiceAtOnce},
		{"ManyAtOnce", manyAtOnce},
		{"Refused", refused},
		{"OddNames", oddNames},
		{"SeedRows", seedRows},
		{"Lists", listsAgreeWithModel},
		{"CallLists", callListsAgreeWithModel},
		{"ListsEndEarly", listsEndEarly},
		{"CallOfSomeRecordings", callOfSomeRecordings},
		{"CallFarFromItsRecordings", callFarFromItsRecordings},
		{"HeldMovesToAnotherCall", heldMovesToAnotherCall},
		{"CallGivenBeforeOrAfter", callGivenBeforeOrAfter},
		{"CallMadeAndWidened", callMadeAndWidened},
		{"CallLosesItsRecording", callLosesItsRecording},
		{"CallKeyThatTellsNoTime", callKeyThatTellsNoTime},
		{"SearchWays", searchWays},
		{"SearchNumbers", searchNumbers},
		{"SearchFollowsChanges", searchFollowsChanges},
		{"Search", searchAgreesWithModel},
		{"SearchCursors", cursors},
		{"SearchedTo", searchedTo},
		{"Suggestions", suggestions},
		{"OneCall", oneCall},
		{"Remarks", remarksAreKept},
		{"RemarksHaveAnEnd", remarksHaveAnEnd},
		{"Certificate", certificate},
		{"Peaks", peaks},
		{"PeaksOfDamagedAudio", peaksOfDamagedAudio},
		{"VerifyWhole", verifyWhole},
		{"VerifyFaults", verifyFaults},
		{"VerifyWithoutAudio", verifyWithoutAudio},
		{"VerifyStrays", verifyStrays},
		{"VerifyParts", verifyParts},
		{"VerifyBesideKeep", verifyBesideKeep},
		{"HalfKept", halfKept},
		{"Rebuild", rebuild},
		{"RebuildWithoutAudio", rebuildWithoutAudio},
		{"RebuildDamagedFiles", rebuildDamagedFiles},
		{"RebuildBesideKeep", rebuildBesideKeep},
		{"RebuildDropsRows", rebuildDropsRows},
		{"LostAudioComesAgain", lostAudioComesAgain},
		{"FullDisk", fullDisk},
		{"StoreAway", storeAway},
		{"StorePanics", storePanics},
		{"StoreKeepsOne", storeKeepsOne},
		{"StoreKeepsSidecar", storeKeepsSidecar},
		{"DamagedSidecarIsReplaced", damagedSidecarIsReplaced},
		{"ClockThatJumpsBack", clockThatJumpsBack},
		{"ClockThatJumpsBackUnderACall", clockThatJumpsBackUnderACall},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := &suite{T: t, Fixture: open(t)}
			test.run(s)
			s.checkTotals()
		})
	}
}

// checkTotals compares the figures that are counted as rows are written with the rows.
func (s *suite) checkTotals() {
	s.Helper()
	totals, err := s.Archive.Totals(s.Context())
	s.must(err)
	for _, total := range totals {
		c, err := s.Archive.Count(s.Context(), total.Tenant, callvault.Span{From: 0, To: callvault.MaxTime + 1})
		s.must(err)
		if c.Recordings != total.Recordings || c.Held != total.Held || c.Bytes != total.Bytes {
			s.Errorf("totals of %s are %+v; there are %d, %d held, %d bytes", total.Tenant, total, c.Recordings, c.Held, c.Bytes)
		}
	}
}
