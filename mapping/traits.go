package mapping

// Opens says whether an incident is opened at PagerDuty. Of the others, a change
// event only stands on the timeline, and none sends nothing.
func (u Urgency) Opens() bool { return u == High || u == Low || u == Acknowledged }

// Sends says whether PagerDuty is told anything at all.
func (u Urgency) Sends() bool { return u.Opens() || u == Change }

// First says whether it goes before all others, with a part of the rate limit of its own.
func (u Urgency) First() bool { return u == High }

// AutoAcks says whether the incident is acknowledged as soon as it is open.
func (u Urgency) AutoAcks() bool { return u == Acknowledged }

// KnownToAlertmanager says whether Alertmanager lists such an alert while it fires, so
// that it can be asked about it.
func (o Origin) KnownToAlertmanager() bool { return o == OriginAlertmanager }

// EndsByItself says whether an alert's endsAt is its end. Those of Alertmanager are over
// only when it says so.
func (o Origin) EndsByItself() bool { return o == OriginTest || o == OriginSelf }

// Ours says whether pagerelay raised the alert itself.
func (o Origin) Ours() bool { return o == OriginCoverage || o == OriginSelf }
