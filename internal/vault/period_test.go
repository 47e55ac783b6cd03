package vault

import "testing"

// A period that is taken does not go back.
func FuzzPeriod(f *testing.F) {
	for _, text := range []string{"P30D", "P1Y2M3D", "P2W", "PT1H", "P", "P-1D", "P99999999999Y", "p1d", "P1D1D"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if p, ok := parsePeriod(text); ok && p.span() < 0 {
			t.Errorf("%q has %v", text, p.span())
		}
	})
}
