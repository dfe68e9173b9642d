package coverage

import (
	"maps"
	"slices"
	"time"
)

// byName finds what bears an id or, if it is the only one that does, a name; nil if
// there is none.
func byName[T any](all map[string]*T, name func(*T) string) func(string) *T {
	named := make(map[string]*T, len(all))
	for _, v := range all {
		if _, twice := named[name(v)]; twice {
			named[name(v)] = nil
			continue
		}
		named[name(v)] = v
	}
	return func(s string) *T {
		if v := all[s]; v != nil {
			return v
		}
		return named[s]
	}
}

// ahead is the part of the window that is not over.
func (s *Snapshot) ahead() Span {
	w := Span{s.Window.Start.UTC(), s.Window.End.UTC()}
	if at := s.At.UTC().Truncate(time.Second); at.After(w.Start) && !at.After(w.End) {
		w.Start = at
	}
	return w
}

// unread says whether something, known by any of these ids and names, could not be
// read.
func (s *Snapshot) unread(kind Kind, ids ...string) bool { return s.lacks("", kind, ids...) }

// lacks says whether what one check needs could not be read of something that was.
func (s *Snapshot) lacks(check CheckID, kind Kind, ids ...string) bool {
	return slices.ContainsFunc(s.Unread, func(u Unread) bool {
		return u.Check == check && u.Kind == kind && (u.ID == "" || slices.Contains(ids, u.ID))
	})
}

// keyless are the services of pagerelay whose routing key cannot be read, and of which
// nothing else tells which of PagerDuty's services is behind them.
func (s *Snapshot) keyless() []string {
	var names []string
	for _, name := range s.Keyless {
		known := false
		for _, svc := range s.Services {
			known = known || slices.Contains(svc.Relays, name)
		}
		if !known {
			names = append(names, name)
		}
	}
	return names
}

// doubted says of a person whether only the account is in doubt: nothing was read of
// them, nor is it known that they have none.
func (s *Snapshot) doubted() func(user string) bool {
	unread := map[string]bool{} // with "" for all.
	for _, u := range s.Unread {
		if u.Kind == KindUser && u.Check == "" {
			unread[u.ID] = true
		}
	}
	return func(user string) bool { return (unread[""] || unread[user]) && s.live(user) }
}

// remembering is s with those who had no account when before was read, and could not
// be read now: nobody gets an account back.
func (s *Snapshot) remembering(before *Snapshot) *Snapshot {
	with := *s
	with.Users = map[string]*User{}
	maps.Copy(with.Users, s.Users)
	for id, u := range before.Users {
		if u.Gone && s.unread(KindUser, id) {
			with.Users[id] = u
		}
	}
	return &with
}

// denied says whether the token may not read something of people.
func (s *Snapshot) denied() bool {
	return slices.ContainsFunc(s.Unread, func(u Unread) bool { return u.Kind == KindUser && u.Denied })
}

// accepting is s where nothing waits any more for what the token may not read of people:
// they are taken to have an account, unless it is known that they have none.
func (s *Snapshot) accepting() *Snapshot {
	with := *s
	with.Unread = nil
	for _, u := range s.Unread {
		if u.Kind != KindUser || !u.Denied {
			with.Unread = append(with.Unread, u)
			continue
		}
		u.Accepted = true
		checks := []CheckID{u.Check}
		if u.Check == "" {
			checks = []CheckID{UserUnreachable, InactiveUser}
		}
		for _, u.Check = range checks {
			with.Unread = append(with.Unread, u)
		}
	}
	return &with
}

// live says whether a person can be paged, as far as is known. An empty id is what
// PagerDuty leaves of somebody who was deleted.
func (s *Snapshot) live(user string) bool {
	u := s.Users[user]
	return user != "" && (u == nil || !u.Gone)
}

// byPolicy are the places of a policy's on-calls in OnCalls, in their order.
func (s *Snapshot) byPolicy() map[string][]int32 {
	counts := map[string]int{}
	for i := range s.OnCalls {
		counts[s.OnCalls[i].Policy]++
	}
	places := make(map[string][]int32, len(counts))
	for id, n := range counts {
		places[id] = make([]int32, 0, n)
	}
	for i := range s.OnCalls {
		id := s.OnCalls[i].Policy
		places[id] = append(places[id], int32(i))
	}
	return places
}
