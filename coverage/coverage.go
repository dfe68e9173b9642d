// Package coverage judges whether somebody would be paged: it takes what was read
// of PagerDuty's schedules, escalation policies, services and people (a Snapshot),
// says what is wrong with it (Check, a pure function), and has that read again
// every few hours and reported (Auditor).
//
// PagerDuty answers 202 and creates no incident when nobody is on call on the
// service's escalation policy; nothing but such an audit tells beforehand.
//
// It speaks to no network: what it judges is read by a Source.
package coverage

import "time"

// Span is a time from Start to End, which does not belong to it.
type Span struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// Kind is a kind of what is read.
type Kind string

// The kinds.
const (
	KindSchedule Kind = "schedule"
	KindPolicy   Kind = "policy" // an escalation policy.
	KindService  Kind = "service"
	KindUser     Kind = "user"
)

// Snapshot is what was read of PagerDuty at one time. It does not change once made.
type Snapshot struct {
	At time.Time // when it was read.
	// Window is the time that the shifts below speak of. It starts at At or before: what
	// has begun is only as long as what was read of it.
	Window Span

	// By PagerDuty's ids.
	Schedules map[string]*Schedule
	Policies  map[string]*Policy
	Services  map[string]*Service
	Users     map[string]*User

	// OnCalls is who is on call on the policies' levels, as PagerDuty works it out.
	OnCalls []OnCall

	// Unread is what could not be read: what it concerns is not known, which is
	// never the same as "no gap".
	Unread []Unread
	// Missing are the names and ids of the configuration that PagerDuty does not have.
	Missing []Missing
	// Keyless are the services of pagerelay whose routing key cannot be read: which of
	// PagerDuty's services is behind one is not known, unless something else tells.
	Keyless []string
}

// Unread is something that could not be read.
type Unread struct {
	// Check is the only one that needs it, where the rest of the subject was read; ""
	// where none of it was.
	Check CheckID
	Kind  Kind
	// ID is PagerDuty's, or the configuration's name where that could not be looked
	// up; "" means all of the kind.
	ID string
	// Name is the configuration's, where ID is not that but what it stands for.
	Name string
	// Reason is one line for people, without a secret.
	Reason string
	// Denied: the API token may not read it, which no later audit will change.
	Denied bool
	// Accepted: that has been reported for so long that nothing waits for it any more.
	Accepted bool
}

// Missing is a name or id that PagerDuty does not have, or has more than once.
type Missing struct {
	Kind Kind
	Name string // as the configuration has it.
	// Same are the ids that bear the name, if it is ambiguous.
	Same []string
}

// Schedule is an on-call schedule.
type Schedule struct {
	ID, Name, URL string
	TimeZone      string // of the IANA database.
	// ShiftBased tells PagerDuty's v3 schedules, which may have several people on
	// call at once, from its v2 ones, which have one at most.
	ShiftBased bool
	// Engineers are the ids of the people assigned to it, each once, on call within
	// the window or not.
	Engineers []string
	// Shifts is the final schedule in the window, in any order. The first ones may have
	// begun before the window.
	Shifts []Shift
	// Empty are the times that a shift-based schedule expressly gives to nobody.
	Empty []Span
	// Layers are the layers (v2) or rotations (v3) that have an end.
	Layers []Layer
	// Policies are the ids of the escalation policies that use it.
	Policies []string
}

// Shift is a time for which somebody is on call.
type Shift struct {
	Span
	User string // id.
}

// Layer is a part of a schedule that ends by itself.
type Layer struct {
	Name string
	End  time.Time
}

// Policy is an escalation policy.
type Policy struct {
	ID, Name, URL string
	Levels        []Level
	Services      []string // ids of the PagerDuty services that use it.
}

// Level is a rule of an escalation policy.
type Level struct {
	Targets []Target
	// EscalateAfter is when the next level is notified, if nobody has acknowledged.
	EscalateAfter time.Duration
}

// Target is whom a level notifies.
type Target struct {
	Kind     Kind // KindUser or KindSchedule.
	ID, Name string
}

// OnCall is a time for which somebody is on call on a level of a policy.
type OnCall struct {
	// Span's Start or End is zero where the person is on call for good.
	Span
	Policy   string // id.
	Level    int    // from 1.
	User     string // id.
	Schedule string // id; "" where the level names the person.
}

// Service is a PagerDuty service.
type Service struct {
	ID, Name, URL string
	Policy        string // id of its escalation policy.
	Status        string // PagerDuty's: active, warning, critical, maintenance or disabled.
	// Urgency is how it makes an incident's urgency: severity_based, high or low; ""
	// where that is not known. Outside is the same for the hours that are not support
	// hours, where it differs; Urgency is of support hours then.
	Urgency, Outside string
	// Maintenance are the windows that are open or to come.
	Maintenance []Span
	// Relays are the names of pagerelay's services that page it, as far as is known:
	// several integrations of one service have several routing keys.
	Relays []string
}

// User is somebody who can be on call.
type User struct {
	ID, Name, URL string
	TimeZone      string
	// Gone: a schedule or policy still names somebody who has no account any more.
	Gone     bool
	Contacts []Contact
	Rules    []NotificationRule
}

// Contact is a contact method of a user.
type Contact struct {
	ID string
	// Type is email, phone, sms, push or whatsapp.
	Type string
	// Disabled and Blocked: PagerDuty does not use it.
	Disabled, Blocked bool
}

// NotificationRule says when a contact method is used.
type NotificationRule struct {
	Contact string // id of a contact method of the same user.
	Urgency string // high or low.
	Delay   time.Duration
}
