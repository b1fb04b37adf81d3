// Package shape decides how fast mail goes where: how many sessions a lane may
// have, how many deliveries per time, and when it has to rest.
//
// A lane is a destination site and the address we send from. Its limits come
// from three places: what is known of the provider (providers.txt), what the
// operator says (rules, table shaping_rule), and what the other side tells us.
// The last is a control loop: deliveries that succeed open more sessions,
// complaints close them and lower the rate, a destination that is gone is left
// alone and probed by one session, a refused address rests for hours. Without
// complaints everything returns to the configured limits by itself, minute by
// minute. Explain says for any lane what holds it and why.
//
// Invariants. The questions of the queue (Sessions, Take, TakeFlow) and the
// reports of deliveries never wait for the database or for the loop, and never
// call out. What a lane may do depends only on its state and the clock, so the
// loop in Run may be late without anything being wrong; it exists to tell others
// (OnChange), to write long suspensions down, and to forget idle lanes. Buckets
// and windows live in memory: after a restart they begin fresh; rules and
// suspensions of more than five minutes do not.
package shape
