// Package incident is the pure core of pagerelay. It does not queue messages: for each
// incident it keeps what PagerDuty should hold and what PagerDuty is known to hold, and
// says what to do about the difference. Values in, values out: no lock, context, clock,
// log, metric or file. So all of it can be tried out in a table test, and played through
// in random histories; the store may commit what it decided, or not, and ask again.
//
// An Incident is a service and a dedup key. Its members are alerts, by Alertmanager's
// fingerprint. Two counters say what has happened: each firing of a member raises the
// revision; the first unmuted one after a time without begins a new epoch. What was told
// is kept beside that, in Told: the have (closed, open, acknowledged or unknown), the
// epoch that it speaks of, and the accepted revision. The want follows from the members:
// open while any fires, acknowledged if all that fire are muted, else closed. Nothing is
// pending if have is as wanted and the accepted revision is the newest.
//
// Time goes round like this:
//
//	Observe, ObserveAbsence, ObserveMutes   what Alertmanager says changes members
//	Next                                    what is to be done now, and why: send, ask, wait, perform, or nothing
//	Start, then Finish                      the intent of a request before it leaves, then its answer
//	Apply                                   a step that needs no request
//	PagerDutySays                           what somebody did at PagerDuty
//
// Next is the whole of the rules and changes nothing. It is asked whenever the incident
// or the evidence has changed, and again at the moment at which the request would leave:
// evidence is what is known of the service, its routing key, its coverage, and what
// Alertmanager answered. What keeps any request from leaving is its gate: blocked, no
// routing key, backing off. Each decision has a reason, and the ledger (History) shows it.
//
// A firing that is told after its own resolve is late: it is held until Alertmanager is
// asked. A request that may not have had its effect, or may have it late, leaves a
// Doubt, and with it the plan to say something again: the table at Doubt lists all of
// them. What PagerDuty accepted while nobody could be notified is such a doubt; the
// incident is then uncovered. A page that its own service cannot deliver is copied to the
// fallback, as an incident of its own. What was over before it was confirmed is missed,
// and told in the Digest of its service. What only waited for the rate limit is
// guaranteed. A closed incident leaves a Tombstone, to know late firings by.
//
// A rule that spans incidents sees the others through Table, which the store's
// transaction implements. Check says what holds of the parts of an incident.
package incident
