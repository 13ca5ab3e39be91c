package pages

import (
	"fmt"
	"net/http/httptest"
	"testing"
)

// TestIdentifyAgain: identifying the visitor each second of a long stream leaves nothing behind.
func TestIdentifyAgain(t *testing.T) {
	p := &Pages{}
	x := p.newExchange(httptest.NewRecorder(), httptest.NewRequest("GET", "/completeness/events", nil), "progress")
	var once string
	for i := range 3 {
		if err := p.identify(x); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			once = fmt.Sprint(x.ctx())
		}
	}
	if again := fmt.Sprint(x.ctx()); again != once {
		t.Errorf("the context grew from %s to %s", once, again)
	}
}
