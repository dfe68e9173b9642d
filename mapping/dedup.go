package mapping

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"unicode/utf8"

	"github.com/prometheus/alertmanager/template"
)

// The modes of DedupBy. The last two are what a label list and a key template
// are called in the hash.
const (
	byAlert        = "alert"
	byGroup        = "group"
	byAlertmanager = "alertmanager"
	byLabels       = "labels"
	byTemplate     = "template"
)

// keyVersion goes into every hash. Changing it, or anything that dedupKey does,
// orphans every incident that is open during the upgrade.
const keyVersion = "pagerelay/1"

// How many bytes of each part the text of a key shows. With the longest urgency,
// 32 digits of hash and 4 slashes they stay within MaxDedupKey; what is cut
// still counts in the hash.
const (
	maxNamespacePart = 48
	maxServicePart   = 64
	maxNamePart      = 88
)

// dedup is a compiled Dedup.
type dedup struct {
	mode      string
	labels    []string // sorted, each once; byLabels.
	key       *text    // byTemplate.
	ignore    []string // byAlert.
	namespace string
}

// identity is what a key is made of.
type identity struct {
	key    string
	shared bool
	bare   bool
}

// keyFor is what dedup makes of one alert.
func (d *dedup) keyFor(a *template.Alert, r *routing, service string, u Urgency) (identity, []Fault) {
	var arr [1024]byte
	switch d.mode {
	case byGroup:
		if r.origin.Ours() { // in no group of Alertmanager's: each of these is an incident of its own.
			return d.alertKey(arr[:0], a, r.origin, service, u)
		}
		if r.g.GroupKey == "" {
			break
		}
		name := r.g.GroupLabels["alertname"]
		if name == "" {
			name = "group"
		}
		h := appendText(d.start(arr[:0], service, byGroup, u), r.g.GroupKey)
		// The test door makes a group of each alert.
		return identity{key: d.text(service, name, u, h), shared: r.origin != OriginTest}, nil
	case byAlertmanager:
		if r.g.GroupKey == "" {
			break
		}
		// What Alertmanager's notify.Key.Hash makes of a group key.
		sum := sha256.Sum256([]byte(r.g.GroupKey))
		return identity{key: hex.EncodeToString(sum[:]), shared: true, bare: true}, nil
	case byLabels:
		h, n := d.start(arr[:0], service, byLabels, u), 0
		for _, l := range d.labels {
			if v := a.Labels[l]; v != "" {
				h, n = appendText(appendText(h, l), v), n+1
			}
		}
		if n == 0 {
			break
		}
		return identity{key: d.text(service, d.labelsName(a), u, h), shared: true}, nil
	case byTemplate:
		key, err := r.execute(d.key, r.keyData(a))
		if err != nil {
			id, faults := d.alertKey(arr[:0], a, r.origin, service, u)
			return id, append(faults, FaultTemplate)
		}
		if key == "" {
			break
		}
		h := appendText(d.start(arr[:0], service, byTemplate, u), key)
		return identity{key: d.text(service, key, u, h), shared: true}, nil
	default:
		return d.alertKey(arr[:0], a, r.origin, service, u)
	}
	id, faults := d.alertKey(arr[:0], a, r.origin, service, u)
	if !slices.Contains(faults, FaultDedupKey) {
		faults = append(faults, FaultDedupKey)
	}
	return id, faults
}

// alertKey is the key of the alert itself: all its labels but the ignored ones.
func (d *dedup) alertKey(buf []byte, a *template.Alert, origin Origin, service string, u Urgency) (identity, []Fault) {
	var arr [32]string
	names, id := arr[:0], identity{}
	for name, v := range a.Labels {
		switch {
		case v == "":
		case slices.Contains(d.ignore, name):
			id.shared = true
		default:
			names = append(names, name)
		}
	}
	h := d.start(buf, service, byAlert, u)
	var faults []Fault
	if len(names) == 0 {
		// Nothing is left to tell this alert from any other: its fingerprint does.
		h, id.shared, faults = appendText(h, a.Fingerprint), false, []Fault{FaultDedupKey}
	}
	slices.Sort(names)
	value := func(label string) string { return a.Labels[label] }
	if origin == OriginCoverage {
		value = coverageValue(a, names)
	}
	for _, name := range names {
		h = appendText(appendText(h, name), value(name))
	}
	name := a.Labels["alertname"]
	if name == "" {
		name = "alert"
	}
	if origin == OriginCoverage { // all of these have one name: the check and its subject tell them apart.
		for _, l := range names {
			if l != "alertname" && l != "severity" && l != "id" {
				name += "," + l + "=" + value(l)
			}
		}
	}
	id.key = d.text(service, name, u, h)
	return id, faults
}

// coverageValue is what a label of the audit's alert counts as: the name of a schedule,
// policy, service or person as its id, because names change and ids do not.
func coverageValue(a *template.Alert, counted []string) func(label string) string {
	return func(label string) string {
		switch label {
		case "schedule", "policy", "service", "user":
			if slices.Contains(counted, "id") {
				return a.Labels["id"]
			}
		}
		return a.Labels[label]
	}
}

// labelsName is what the key of a label list shows: the alert's name if the
// list has it, else the labels themselves.
func (d *dedup) labelsName(a *template.Alert) string {
	if slices.Contains(d.labels, "alertname") && a.Labels["alertname"] != "" {
		return a.Labels["alertname"]
	}
	var name string
	for _, l := range d.labels {
		if v := a.Labels[l]; v != "" {
			if name != "" {
				name += ","
			}
			name += l + "=" + v
		}
	}
	return name
}

// start begins the input of the hash: everything in it is written with its
// length, so that two different inputs never read the same.
func (d *dedup) start(buf []byte, service, mode string, u Urgency) []byte {
	for _, s := range []string{keyVersion, d.namespace, service, string(u), mode} {
		buf = appendText(buf, s)
	}
	return buf
}

func appendText(buf []byte, s string) []byte {
	return append(binary.AppendUvarint(buf, uint64(len(s))), s...)
}

// text is the key: [namespace/]service/name/urgency/hash, the hash being the
// first 128 bits of the SHA-256 of input.
func (d *dedup) text(service, name string, u Urgency, input []byte) string {
	var arr [MaxDedupKey]byte
	out := arr[:0]
	if d.namespace != "" {
		out = append(appendPart(out, d.namespace, maxNamespacePart), '/')
	}
	out = append(appendPart(out, service, maxServicePart), '/')
	out = append(appendPart(out, name, maxNamePart), '/')
	out = append(append(out, u...), '/')
	sum := sha256.Sum256(input)
	return string(hex.AppendEncode(out, sum[:16]))
}

// appendPart appends up to limit bytes of s, with what could be mistaken or not
// be seen replaced.
func appendPart(out []byte, s string, limit int) []byte {
	for _, r := range s {
		if hidden(r) || r == '/' || r == ' ' {
			r = '_'
		}
		n := utf8.RuneLen(r)
		if n > limit {
			break
		}
		limit -= n
		out = utf8.AppendRune(out, r)
	}
	return out
}

// hidden says whether a character does not show or changes how others show:
// controls, separators, directional marks. It is a fixed list and not
// unicode.IsPrint, whose tables grow with Go: keys would change on an upgrade.
func hidden(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r <= 0xa0, r == 0xad, r == 0x61c, r == 0x1680, r == 0x180e:
		return true
	case r >= 0x2000 && r <= 0x200c, r == 0x200e, r == 0x200f: // not 0x200d, which joins emoji.
		return true
	case r >= 0x2028 && r <= 0x202f, r >= 0x205f && r <= 0x206f, r == 0x3000:
		return true
	case r == 0xfeff, r >= 0xfff0 && r <= 0xfffb, r >= 0xe0000 && r <= 0xe007f:
		return true
	}
	return false
}
