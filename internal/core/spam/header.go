package spam

import (
	"math"
	"strconv"

	"postroad/internal/mail/mime"
)

// stateField says that a message was not checked, or not as a whole. It is ours.
const stateField = "X-Postroad-Spam-Check"

// Headers returns the header fields that tell the receiver of the verdict.
// Mailgun: Sflag and Sscore; a message that was not checked has neither.
func (v *Verdict) Headers() []mime.Field {
	if v.Err != nil {
		return []mime.Field{{Name: stateField, Value: "unavailable"}}
	}
	flag := "No"
	if v.Spam {
		flag = "Yes"
	}
	out := []mime.Field{{Name: "X-Mailgun-Sflag", Value: flag}, {Name: "X-Mailgun-Sscore", Value: formatScore(v.Score)}}
	if v.Partial {
		out = append(out, mime.Field{Name: stateField, Value: "partial"})
	}
	return out
}

func formatScore(f float64) string {
	return strconv.FormatFloat(math.Round(f*100)/100+0, 'f', -1, 64) // + 0: no "-0"
}
