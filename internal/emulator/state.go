package emulator

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// alertKey finds an open alert. Acknowledge and resolve match only under the
// routing key of the trigger (Events API v2, "Event action").
type alertKey struct{ routingKey, dedupKey string }

// incident is an Incident with what drives it. PagerDuty's alert grouping is
// not emulated, so that each has one alert.
type incident struct {
	Incident
	service *service
	level   int // of the escalation policy, the one notified last.
	// ackUntil and escalateAt are when time alone changes the incident; zero: never.
	ackUntil, escalateAt time.Time
	size                 int
}

// service is a Service with its run-time overrides.
type service struct {
	Service
	override ServiceOverride
}

func (s *service) status() string {
	if s.override.Status != nil {
		return *s.override.Status
	}
	return s.Status
}

func (s *service) windows() []Window {
	if s.override.MaintenanceWindows != nil {
		return *s.override.MaintenanceWindows
	}
	return s.MaintenanceWindows
}

func (s *service) inMaintenance(t time.Time) bool {
	return slices.ContainsFunc(s.windows(), func(w Window) bool { return w.contains(t) })
}

func severityRank(severity string) int {
	return slices.Index([]string{severityInfo, severityWarning, severityError, severityCritical}, severity)
}

// ledger is the state that events change. The Emulator's lock guards it.
type ledger struct {
	directory *directory
	number    int
	open      map[alertKey]*incident
	byNumber  []*incident // the open ones, in order of creation; holes are compacted away.
	resolved  bounded[*incident]
}

// onCall is who would be notified for s at level from or the next that has somebody.
func (l *ledger) onCall(s *service, from int, t time.Time) (int, []string) {
	if s.override.OnCall != nil {
		if from > 0 {
			return from, nil
		}
		return 0, *s.override.OnCall
	}
	return l.directory.onCall(s.EscalationPolicy, from, t)
}

// apply does what PagerDuty does with an accepted event.
func (l *ledger) apply(s *service, e event, now time.Time) (Outcome, *incident) {
	inc := l.open[alertKey{e.routingKey, e.dedupKey}]
	if inc != nil {
		l.advance(inc, now)
	}
	switch e.action {
	case actionTrigger:
		return l.trigger(s, inc, e, now)
	case actionAcknowledge:
		// Whether a maintenance window holds an acknowledge back as it does a
		// resolve is not documented; it is applied here.
		switch {
		case inc == nil:
			return NoOpenAlert, nil
		case inc.Status == Acknowledged:
			return AlreadyAcknowledged, inc
		}
		l.acknowledge(inc, "api", now)
		return DidAcknowledge, inc
	default:
		switch {
		case inc == nil:
			return NoOpenAlert, nil
		case s.inMaintenance(now):
			return InMaintenance, inc // KB "Maintenance windows": cannot be resolved through the Events API.
		}
		l.resolve(inc, "api", now)
		return DidResolve, inc
	}
}

func (l *ledger) trigger(s *service, inc *incident, e event, now time.Time) (Outcome, *incident) {
	switch {
	case s.status() == statusDisabled:
		return ServiceDisabled, inc
	case s.inMaintenance(now):
		return InMaintenance, inc
	case inc != nil:
		l.again(inc, e, now)
		return Logged, inc
	}
	level, users := l.onCall(s, 0, now)
	if len(users) == 0 {
		return NobodyOnCall, nil // KB "Incidents": only created when the policy has an on-call user.
	}
	l.number++
	inc = &incident{
		Incident: Incident{
			ID: fmt.Sprintf("Q%s", pad(l.number, 13)), Number: l.number,
			Service: s.Name, ServiceID: s.ID, RoutingKey: e.routingKey, MaskedKey: mask(e.routingKey),
			DedupKey: e.dedupKey, Status: Triggered, Urgency: s.urgency(e.severity, now), Severity: e.severity,
			Title: e.summary, CreatedAt: now,
			Alerts: []Alert{{
				ID: fmt.Sprintf("A%s", pad(l.number, 13)), DedupKey: e.dedupKey, Status: Triggered,
				Severity: e.severity, Summary: e.summary, Source: e.source, CreatedAt: now,
				Triggers: 1, Detail: e.detail,
			}},
			Log: []LogEntry{{At: now, Kind: LogTrigger, By: "api", Severity: e.severity, Summary: e.summary}},
		},
		service: s,
		size:    len(e.detail.CustomDetails) + len(e.summary) + 2048, // about what the rest takes.
	}
	l.notify(inc, level, users, now)
	l.open[alertKey{e.routingKey, e.dedupKey}] = inc
	l.byNumber = append(l.byNumber, inc)
	return Created, inc
}

// maxTriggerEntries is where an alert's log stops showing triggers (KB
// "Incidents", "trigger limit of 100").
const maxTriggerEntries = 100

// again is a trigger for an alert that is open: a log entry, severity and
// urgency upward only, and nobody notified unless the urgency of an incident
// that nobody has acknowledged rises.
func (l *ledger) again(inc *incident, e event, now time.Time) {
	alert := &inc.Alerts[0]
	alert.Triggers++
	if alert.Triggers <= maxTriggerEntries {
		inc.Log = append(inc.Log, LogEntry{At: now, Kind: LogTrigger, By: "api", Severity: e.severity, Summary: e.summary})
	}
	if severityRank(e.severity) > severityRank(alert.Severity) {
		alert.Severity, inc.Severity = e.severity, e.severity
	}
	if inc.Urgency == urgencyLow && inc.service.urgency(e.severity, now) == urgencyHigh {
		inc.Urgency = urgencyHigh
		inc.Log = append(inc.Log, LogEntry{At: now, Kind: LogUrgency, By: "api", Urgency: urgencyHigh})
		if inc.Status == Triggered {
			l.notify(inc, inc.level, l.usersAt(inc, now), now)
		}
	}
}

func (l *ledger) usersAt(inc *incident, now time.Time) []string {
	_, users := l.onCall(inc.service, inc.level, now)
	return users
}

// notify records who is told, and sets when the next level is. Low urgency
// never escalates.
func (l *ledger) notify(inc *incident, level int, users []string, at time.Time) {
	inc.level = level
	for _, u := range users {
		inc.Log = append(inc.Log, LogEntry{
			At: at, Kind: LogNotify, User: u, Urgency: inc.Urgency,
			Channels: l.directory.channels(u, inc.Urgency),
		})
	}
	inc.escalateAt = time.Time{}
	if d := l.directory.delay(inc.service.EscalationPolicy, level); inc.Urgency == urgencyHigh && d > 0 {
		inc.escalateAt = at.Add(d)
	}
}

// advance does what the passing of time did to inc up to now. It is called
// whenever somebody looks at the incident, so that no timer is needed.
func (l *ledger) advance(inc *incident, now time.Time) {
	for {
		switch {
		case inc.Status == Acknowledged && due(inc.ackUntil, now):
			at := inc.ackUntil
			inc.Status, inc.ackUntil = Triggered, time.Time{}
			inc.Log = append(inc.Log, LogEntry{At: at, Kind: LogUnacknowledge, By: "timeout"})
			l.notify(inc, inc.level, l.usersAt(inc, at), at)
		case inc.Status == Triggered && due(inc.escalateAt, now):
			at := inc.escalateAt
			inc.escalateAt = time.Time{}
			if level, users := l.onCall(inc.service, inc.level+1, at); len(users) > 0 {
				inc.Log = append(inc.Log, LogEntry{At: at, Kind: LogEscalate, By: "timeout"})
				l.notify(inc, level, users, at)
			}
		default:
			return
		}
	}
}

func due(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

func (l *ledger) acknowledge(inc *incident, by string, now time.Time) {
	inc.Status, inc.AcknowledgedAt = Acknowledged, &now
	inc.Log = append(inc.Log, LogEntry{At: now, Kind: LogAcknowledge, By: by})
	if d := inc.service.AcknowledgementTimeout; d > 0 {
		inc.ackUntil = now.Add(d)
	}
}

func (l *ledger) resolve(inc *incident, by string, now time.Time) {
	inc.Status, inc.ResolvedAt = Resolved, &now
	inc.Alerts[0].Status = Resolved
	inc.Log = append(inc.Log, LogEntry{At: now, Kind: LogResolve, By: by})
	delete(l.open, alertKey{inc.RoutingKey, inc.DedupKey})
	l.resolved.push(inc, inc.size)
	if len(l.byNumber) > 2*len(l.open)+16 {
		l.byNumber = slices.DeleteFunc(l.byNumber, func(i *incident) bool { return !i.Open() })
	}
}

// all calls yield for every incident that is remembered, oldest first.
func (l *ledger) all(now time.Time, yield func(*incident)) {
	list := make([]*incident, 0, len(l.open))
	for _, inc := range l.byNumber {
		if inc.Open() {
			l.advance(inc, now)
			list = append(list, inc)
		}
	}
	l.resolved.all(func(inc *incident) bool {
		list = append(list, inc)
		return true
	})
	slices.SortFunc(list, func(a, b *incident) int { return a.Number - b.Number })
	for _, inc := range list {
		yield(inc)
	}
}

// snapshot shares with the incident only what never changes.
func (i *incident) snapshot() Incident {
	out := i.Incident
	out.Alerts = slices.Clone(i.Alerts)
	out.Log = slices.Clone(i.Log)
	return out
}

func pad(n, width int) string {
	s := strings.ToUpper(strconv.FormatInt(int64(n), 36))
	return strings.Repeat("0", max(0, width-len(s))) + s
}

func newDedupKey() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: it ends the program instead.
	return hex.EncodeToString(b[:])
}
