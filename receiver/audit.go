package receiver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/pagerelay/pagerelay/mapping"
)

// auditRecord is one line of the audit log: who sent what, and the answer. It
// holds no token and no label or annotation but what is in the group's key.
type auditRecord struct {
	Time      time.Time    `json:"time"`
	Token     string       `json:"token"` // its name.
	Remote    string       `json:"remote"`
	Method    string       `json:"method"`
	Path      string       `json:"path"` // without the query, which may hold anything.
	Code      int          `json:"code"`
	Receiver  string       `json:"receiver,omitempty"`
	GroupKey  string       `json:"group_key,omitempty"` // if it was one group.
	Firing    int          `json:"firing"`
	Resolved  int          `json:"resolved"`
	Truncated uint64       `json:"truncated"`
	Alerts    []auditAlert `json:"alerts,omitempty"`
}

type auditAlert struct {
	Fingerprint string `json:"fingerprint"`
	Status      string `json:"status"`
}

// writeAudit writes what req was to the audit log. A failure is counted and
// logged, and costs nothing else.
func (r *Receiver) writeAudit(req *http.Request, who caller, code int, groups []*mapping.Group) {
	rec := auditRecord{
		Time:   r.cfg.Now().UTC(),
		Token:  who.name,
		Remote: req.RemoteAddr,
		Method: req.Method,
		Path:   req.URL.Path,
		Code:   code,
	}
	for _, g := range groups {
		if g == nil { // refused before it was decoded.
			continue
		}
		rec.Truncated += g.TruncatedAlerts
		if len(groups) == 1 {
			rec.Receiver, rec.GroupKey = g.Receiver, g.GroupKey
		}
		for i := range g.Alerts {
			a := &g.Alerts[i]
			if a.Status == mapping.Firing {
				rec.Firing++
			} else {
				rec.Resolved++
			}
			rec.Alerts = append(rec.Alerts, auditAlert{Fingerprint: a.Fingerprint, Status: a.Status})
		}
	}
	line, err := json.Marshal(rec)
	if err == nil {
		err = r.audit.write(append(line, '\n'))
	}
	if err != nil {
		r.metrics.auditFailures.Inc()
		r.cfg.Logger.Error("audit record not written", "token", who.name, "code", code, "err", err)
	}
}

// auditLog appends lines to a file, and puts a full one aside as PATH.1, which
// pushes PATH.1 to PATH.2 and so on. The file is opened for each line, so that
// whatever else moves or removes it needs to tell nobody. A line is not synced.
//
// No library does this: lumberjack (last released in 2023) and timberjack refuse a line
// that is longer than the file may be or comes when the file cannot be put aside, keep
// the file open, and run goroutines to compress. Here such a line is written all the same.
type auditLog struct {
	mu      sync.Mutex
	path    string // "": nothing is written.
	maxSize int64  // bytes.
	keep    int    // files put aside.
}

// configure is for a validated cfg; nil turns the log off.
func (l *auditLog) configure(cfg *AuditLog) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if cfg == nil {
		l.path = ""
		return
	}
	l.path, l.keep = cfg.Path, cfg.Keep
	if l.keep == 0 {
		l.keep = 5
	}
	l.maxSize, _ = cfg.maxSize() // validated.
}

// write appends line. If the full file cannot be put aside it grows on: a long
// audit log is better than none.
func (l *auditLog) write(line []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.path == "" {
		return nil
	}
	var errs []error
	if st, err := os.Stat(l.path); err == nil && st.Size() > 0 && st.Size()+int64(len(line)) > l.maxSize {
		errs = append(errs, l.rotate())
	}
	return errors.Join(append(errs, l.append(line))...)
}

func (l *auditLog) append(line []byte) error {
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open audit log: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return fmt.Errorf("look at audit log: %w", err)
	}
	if _, err := f.Write(line); err != nil {
		// Half a line would spoil the next one.
		return fmt.Errorf("write audit log: %w", errors.Join(err, f.Truncate(st.Size())))
	}
	return nil
}

func (l *auditLog) rotate() error {
	for i := l.keep; i > 0; i-- {
		from := fmt.Sprintf("%s.%d", l.path, i-1)
		if i == 1 {
			from = l.path
		}
		// Rename replaces the oldest.
		if err := os.Rename(from, fmt.Sprintf("%s.%d", l.path, i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("put full audit log aside: %w", err)
		}
	}
	return nil
}
